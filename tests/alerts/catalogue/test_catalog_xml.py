from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.catalogue.assemble import CatalogMessages
from alerts.catalogue.catalog_xml import MESSAGE_BYTES_MAX, parse_message, split_messages
from contracts.errors import MalformedMessage, RefusedInput, TooLarge
from tests.alerts.catalogue.entries import NVR, camera_id, catalog_xml


def answers(*files: bytes) -> CatalogMessages:
    found = CatalogMessages()
    for number, data in enumerate(files, start=1):
        found.add_file(data, f"{number}.xml")
    return found


def test_answer_over_several_messages_in_any_order_is_complete() -> None:
    parts = [catalog_xml([1, 2], total=5), catalog_xml([3, 4], total=5), catalog_xml([5], total=5)]
    for order in (parts, parts[::-1]):
        found = answers(b"".join(order))
        assert sorted(found.entries) == [camera_id(serial) for serial in range(1, 6)]
        assert (found.gaps(), found.refused, found.messages) == ([], [], 3)
    entry = found.entries[camera_id(1)]
    assert (entry.name, entry.address, entry.nvr, entry.channel) == (
        "广场1号",
        "王府街",
        NVR,
        f"{NVR}/{camera_id(1)}",
    )
    assert "admin12345" not in repr(entry)


def test_message_that_comes_twice_is_one_and_a_missing_one_is_a_gap() -> None:
    part = catalog_xml([1, 2], total=5)
    found = answers(part, part)
    assert (len(found.entries), found.duplicates) == (2, 2)
    (gap,) = found.gaps()
    assert "5" in gap
    assert "2" in gap


@pytest.mark.parametrize("encoding", ["GB2312", "GBK", "gb18030", "UTF-8", "utf-16"])
def test_every_declared_encoding_is_read(encoding: str) -> None:
    body = catalog_xml([1], total=1, encoding=encoding)
    if encoding == "utf-16":
        assert answers(body).refused, "no device sends it, and no message is found in it"
        return
    assert parse_message(body).items[0]["Name"] == "广场1号"


@pytest.mark.parametrize("codec", ["idna", "punycode", "unicode_escape", "utf-7", "hex", "nonsense"])
def test_codec_that_is_no_encoding_of_documents_is_refused_unread(codec: str) -> None:
    """Python would run them: some take quadratic time."""
    body = catalog_xml([1], total=1).replace(b'"GB2312"', f'"{codec}"'.encode())
    with pytest.raises(MalformedMessage) as refused:
        parse_message(body)
    assert refused.value.reason == "encoding"


def test_device_that_declares_gb2312_and_sends_utf8_is_read() -> None:
    body = catalog_xml([1], total=1, encoding="UTF-8").replace(b'"UTF-8"', b'"GB2312"')
    assert parse_message(body).items[0]["Name"] == "广场1号"


def test_rare_character_of_gb18030_under_the_name_of_gb2312_is_read() -> None:
    assert parse_message(catalog_xml([1], total=1, name="㐂镕{}")).items[0]["Name"] == "㐂镕1"


def test_name_with_a_bare_ampersand_is_read() -> None:
    assert parse_message(catalog_xml([1], total=1, name="A&B{}&amp;")).items[0]["Name"] == "A&B1&"


def test_sip_headers_around_the_bodies_are_passed_over() -> None:
    body = catalog_xml([1], total=1)
    head = b"MESSAGE sip:1@2 SIP/2.0\r\nContent-Type: Application/MANSCDP+xml\r\n\r\n"
    bodies, cut_off = split_messages(head + body + head + catalog_xml([2], total=1, sn=18))
    assert (len(bodies), cut_off) == (2, 0)


@pytest.mark.parametrize(
    "attack",
    [
        b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Response>&b;</Response>',
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><Response></Response>',
        b"<! doctype r><Response></Response>",
    ],
)
def test_document_type_declarations_and_entities_are_never_read(attack: bytes) -> None:
    (refused,) = answers(attack).refused
    assert refused.reason == "doctype"


def test_entity_without_a_declaration_is_refused_as_text() -> None:
    body = catalog_xml([1], total=1, name="&file;{}")
    assert parse_message(body).items[0]["Name"] == "&file;1", "it stays what it is: six characters"


def test_cut_off_message_is_told_and_the_whole_ones_are_read() -> None:
    found = answers(catalog_xml([1], total=2) + catalog_xml([2], total=2)[:-30])
    assert [each.reason for each in found.refused] == ["truncated"]
    assert list(found.entries) == [camera_id(1)]
    assert len(found.gaps()) == 2


def test_file_of_beginnings_alone_takes_time_in_proportion() -> None:
    bodies, cut_off = split_messages(b"<Response " * 200_000)
    assert (bodies, cut_off) == ([], 200_000)
    bodies, cut_off = split_messages(b"<Response " * 200_000 + b"</Response>")
    assert (len(bodies), cut_off) == (1, 199_999)


def test_answer_to_another_query_and_odd_numbers_are_refused() -> None:
    body = catalog_xml([1], total=1)
    with pytest.raises(MalformedMessage) as other:
        parse_message(body.replace(b"Catalog<", b"DeviceInfo<"))
    assert other.value.reason == "not_a_catalogue_answer"
    for wrong in (b"<SumNum>0<", b"<SumNum>-1<", b"<SumNum>x<", b"<SumNum>99999999999<"):
        with pytest.raises(MalformedMessage) as numbers:
            parse_message(body.replace(b"<SumNum>1<", wrong))
        assert numbers.value.reason == "sum_num"


def test_deep_nesting_and_long_elements_are_refused() -> None:
    deep = b"<Response>" + b"<a>" * 50 + b"</a>" * 50 + b"</Response>"
    with pytest.raises(TooLarge):
        parse_message(deep)
    with pytest.raises(TooLarge):
        parse_message(catalog_xml([1], total=1, name="长" * 3_000 + "{}"))


@pytest.mark.parametrize("event", [None, "ADD"])
def test_huge_attributes_and_texts_of_a_message_end_at_the_bound(event: str | None) -> None:
    body = catalog_xml([1], total=1, event=event)
    huge = body.replace(b"<Item>", b"<Item a='" + b"x" * (MESSAGE_BYTES_MAX - len(body) - 20) + b"'>")
    assert parse_message(huge).items == parse_message(body).items
    with pytest.raises(TooLarge):
        parse_message(body.replace(b"<Item>", b"<Item a='" + b"x" * MESSAGE_BYTES_MAX + b"'>"))


def test_beginnings_and_ends_of_both_kinds_are_not_mixed() -> None:
    answer, notice = catalog_xml([1], total=1), catalog_xml([2], total=1, sn=18, event="ADD")
    found = answers(answer[:-20] + notice + answer.replace(b"</Response>", b"</Notify>"))
    assert list(found.entries) == [camera_id(2)]
    assert [each.reason for each in found.refused] == ["truncated"]
    for root in (b"<Response ", b"<Notify "):
        bodies, cut_off = split_messages(root * 200_000 + b"</Notify>")
        assert len(bodies) + cut_off == 200_000


def test_two_answers_that_say_different_sums_are_not_mixed() -> None:
    found = answers(catalog_xml([1], total=2), catalog_xml([2], total=3))
    assert [each.reason for each in found.refused] == ["sum_num"]
    assert list(found.entries) == [camera_id(1)]


@given(st.data())
def test_mutated_messages_give_entries_or_words(data: st.DataObject) -> None:
    body = bytearray(catalog_xml([1, 2, 3], total=3))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                body[at] = data.draw(st.integers(0, 255))
            case 1:
                del body[at : at + data.draw(st.integers(1, 200))]
            case _:
                body[at:at] = body[: data.draw(st.integers(1, 300))]
        if not body:
            return
    found = answers(bytes(body))
    assert len(found.entries) <= 6 + len(body) // 100
    with suppress(RefusedInput):
        parse_message(bytes(body))
