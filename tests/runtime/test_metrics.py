from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from contracts.instant import SECOND, Instant
from contracts.source import RefusedNote
from runtime.metrics import StageCounters, prometheus_text


def test_refused_input_is_counted_for_good_and_told_once_with_its_sender() -> None:
    counters = StageCounters("ingest-sensors")
    counters.refuse("messages_refused", "senml", "S-1", "first")
    counters.refuse("messages_refused", "senml", "S-1", "second")
    counters.refuse("messages_refused", "unknown_source", "S-2", "who?")
    assert counters.total("messages_refused", "senml") == 2
    assert counters.take_refused() == (
        RefusedNote("senml", "S-1", "second", 2),
        RefusedNote("unknown_source", "S-2", "who?", 1),
    )
    assert counters.take_refused() == ()
    assert counters.total("messages_refused", "senml") == 2


def test_senders_without_end_are_summed_and_none_is_lost() -> None:
    counters = StageCounters("ingest-sensors")
    for number in range(5_000):
        counters.refuse("messages_refused", "unknown_source", f"S-{number}", "who?")
    notes = counters.take_refused()
    assert len(notes) <= 201
    assert sum(note.n for note in notes) == 5_000
    assert notes[-1].source_id == "*"


def test_report_that_could_not_be_sent_is_told_with_the_next() -> None:
    counters = StageCounters("ingest-sensors")
    counters.refuse("messages_refused", "senml", "S-1", "first")
    [note] = counters.take_refused()
    counters.refuse("messages_refused", "senml", "S-1", "later")
    counters.note(note)
    assert [each.n for each in counters.take_refused()] == [2]


def test_reports_of_two_services_are_read_by_prometheus_own_parser() -> None:
    reports = []
    for service in ("alerts", "inference"):
        counters = StageCounters(service)
        counters.count("refused", 'a "quoted"\\reason\n', n=3)
        counters.gauge("depth", 1.5)
        reports.append(counters.report("s", "0", Instant(SECOND), Instant(0)))
    families = {
        each.name: each for each in text_string_to_metric_families(prometheus_text(reports, Instant(3 * SECOND)))
    }
    assert set(families) == {"gridwhistle_events", "gridwhistle_gauge", "gridwhistle_report_age_seconds"}
    totals = families["gridwhistle_events"].samples
    assert [(each.labels["service"], each.labels["reason"], each.value) for each in totals] == [
        ("alerts", 'a "quoted"\\reason\n', 3.0),
        ("inference", 'a "quoted"\\reason\n', 3.0),
    ]
    assert [each.value for each in families["gridwhistle_report_age_seconds"].samples] == [2.0, 2.0]
