"""Watch: the analytics of one camera, picture by picture; the order of the pipeline is `Watch.look`.

Nothing here is remembered that a restart may not forget. An Observer and its watches belong to one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from contracts.detection import Detections
from contracts.errors import StoreError
from contracts.filmstrip import Filmstrip
from contracts.frame import FrameHeader
from contracts.instant import SECOND, Instant
from contracts.observation import EvidenceRef, IncidentType, Observation
from contracts.place import ZoneKind
from contracts.source import SEEING, Camera, SourceChange, SourceState
from inference.blind import BlindWatch, Sight
from inference.config import InferenceConfig
from inference.crowd import CROWD_KINDS, CrowdTalk, count_people
from inference.evidence import Drawing, EvidenceStore, Hiding
from inference.fire import FireWatch, seen_twice
from inference.flow_watch import FlowWatch
from inference.ground import Ground
from inference.intrusion import IntrusionWatch
from inference.observe import Writer
from inference.picture import Bgr, Picture
from inference.registry import Model
from inference.traffic import StoppedVehicles
from inference.zones import ZoneShape, measured
from runtime.metrics import StageCounters

F32 = npt.NDArray[np.float32]
Record = Observation | SourceChange | Filmstrip
SecondLook = Callable[[Bgr], Detections]
"""Looks at a picture once more, at a larger size."""
_STEP_BACK_MAX_NS = 60 * SECOND
_URGENCY_BLIND = 4.0
_URGENCY_TRAFFIC = 2.0
_URGENCY_DOUBTFUL = 4.0
"""Of something that may burn: looked at soon, but it never takes the place that is kept for a fire."""
_BRIEF_NS = SECOND // 2
"""Pictures that follow the last whole look within this are there for the motion of vehicles alone."""
_FIRE_IS_SEEN = frozenset({"moved", "blurred"})
_BLIND_SENTENCES = {
    "covered": "画面被遮挡 (the picture is covered)",
    "dark": "画面过暗 (the picture is dark)",
    "frozen": "画面冻结 (the picture is frozen)",
    "moved": "画面移位, 区域不再对应 (the camera was turned; its zones no longer fit)",
    "blurred": "画面模糊: 失焦, 污渍或大雾 (blurred: out of focus, dirt or fog)",
    "undecodable": "画面无法解码 (the pictures do not decode)",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one picture showed. `found`: everything down to the detector's floor; `size`: width, height in pixels.

    `blind`: why nothing can be seen in it (`covered`, `dark`, `frozen`, `moved`, `blurred`, `undecodable`), ""
    when something can.
    `evidence`: the picture itself, hidden as all evidence, when somebody's look waited for it and it may be shown.
    """

    event_time: Instant
    arrival_time: Instant
    size: tuple[int, int]
    found: Detections
    blind: str = ""
    evidence: tuple[EvidenceRef, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What a picture led to. `urgency`: how much sooner to look again, 1 = as usual.

    `suspicion`: a code for what is suspected (`fire`, `blind`, `traffic`), "" for nothing. `burst`: vehicles are
    to be measured, in a burst of looks. `seen`: None when the
    picture was not looked at, since a later one was.
    """

    records: list[Record] = field(default_factory=list)
    urgency: float = 1.0
    suspicion: str = ""
    burst: bool = False
    seen: Seen | None = None


class Watch:
    """One camera: its zones and what was seen in its last pictures."""

    def __init__(
        self,
        writer: Writer,
        config: InferenceConfig,
        evidence: EvidenceStore | None,
        counters: StageCounters,
        second: SecondLook | None,
    ) -> None:
        self.writer = writer
        self._second = second
        self._config = config
        self._evidence = evidence
        self._counters = counters
        ground = Ground.of(writer.camera.homography) if writer.camera.homography is not None else None
        shapes = [ZoneShape.of(measured(zone, ground)) for zone in writer.camera.zones]
        self._crowds = [(s, CrowdTalk(config.crowd)) for s in shapes if s.zone.kind in CROWD_KINDS]
        lanes = [s for s in shapes if s.zone.kind is ZoneKind.LANE]
        # Vehicles that always stood in a fire lane block it all the same.
        kept_free = [s for s in shapes if s.zone.kind is ZoneKind.FIRE_LANE]
        self._traffic = (
            (IncidentType.STOPPED_VEHICLE, StoppedVehicles(config.traffic, lanes)),
            (IncidentType.FIRE_LANE, StoppedVehicles(config.traffic, kept_free, background=False)),
        )
        self._flow = FlowWatch(config.flow, lanes, ground)
        self._intrusion = IntrusionWatch(config.intrusion, lanes)
        self._fire = FireWatch(config.fire, [s for s in shapes if s.zone.kind is ZoneKind.FIRE])
        self._blind = BlindWatch(config.blind, zoned=bool(shapes))
        self._hiding = Hiding()
        self._last_at: Instant | None = None
        self._whole_at: Instant | None = None
        self._blind_now = ""
        self._steady = 0
        self.analysed_at: Instant | None = None
        """When, by our clock, a picture of it was last understood."""
        self.late = False

    def look(self, picture: Picture, found: Detections, now: Instant, *, asked: bool = False) -> Outcome:
        """The pipeline of one picture. `found`: everything down to the detector's floor.

        `asked`: somebody's look waits for this picture, so it is kept as evidence unless it is blind: where nobody
        can be found, nobody could be hidden.
        """
        outcome = Outcome()
        step = None if self._last_at is None else picture.event_time - self._last_at
        if step is not None and -_STEP_BACK_MAX_NS < step <= 0:
            self._counters.count("pictures_dropped", "out_of_order")
            return outcome
        self._last_at, self.analysed_at, self.late = picture.event_time, now, False
        sure = found.confidence >= self.writer.model.thresholds[found.class_id]
        size = (picture.width, picture.height)
        if self._whole_at is not None and 0 < picture.event_time - self._whole_at < _BRIEF_NS and not asked:
            if not self._blind_now:
                outcome.records += self._flowing(picture, found, sure)
            outcome.seen = Seen(picture.event_time, picture.arrival_time, size, found, self._blind_now)
            return outcome
        self._whole_at = picture.event_time

        sight = self._blind.look(picture)
        outcome.records += self._say_sight(sight, picture.event_time, picture.arrival_time)
        hidden = np.empty((0, 4), np.float32)
        if not sight.blind or sight.reason in _FIRE_IS_SEEN:
            hidden = self._hiding.boxes(picture, found)
        if not sight.blind:
            outcome.records += self._crowd(picture, found, hidden)
            outcome.records += self._standing(picture, found, sure, hidden)
            outcome.records += self._walking(picture, found[sure], hidden)
            outcome.records += self._flowing(picture, found, sure)
        if not sight.blind or sight.reason in _FIRE_IS_SEEN:
            # A camera that was turned, or sees badly, may still see a fire; only its counts mean nothing.
            outcome.records += self._burning(picture, found, sure, hidden)
        outcome.urgency, outcome.suspicion = self._suspicion()
        outcome.burst = not sight.blind and self._flow.wants
        # One covered picture is no blind camera, but it shows nothing to whoever asked for a look.
        blind = self._blind_now = sight.reason if sight.blind else sight.alone
        shown: tuple[EvidenceRef, ...] = ()
        if asked and not blind:
            shown = self._write(picture, Drawing(hidden, found[sure].xyxy), None)
        outcome.seen = Seen(picture.event_time, picture.arrival_time, size, found, blind, shown)
        return outcome

    def refused(self, header: FrameHeader) -> Outcome:
        """A picture of this camera could not be decoded."""
        sight = self._blind.undecodable(header.event_time)
        records = self._say_sight(sight, header.event_time, header.arrival_time)
        seen = Seen(header.event_time, header.arrival_time, (1, 1), Detections.empty(), "undecodable")
        if self._blind.suspicious:
            return Outcome(records, _URGENCY_BLIND, "blind", seen=seen)
        return Outcome(records, seen=seen)

    def say_late(self, now: Instant, reason: str = "late") -> list[Record]:
        """No picture is understood any more: the counts are unknown from now on."""
        self.late = True
        return self._say_unknown(now, now, reason)

    def quarantined(self, now: Instant, reason: str) -> list[Record]:
        """Its pictures ended the decoder twice; when it is seen again, that is news."""
        self._blind = BlindWatch(self._config.blind, zoned=bool(self.writer.camera.zones))
        sentence = "画面两次使解码器崩溃, 已隔离 (its pictures ended the decoder twice; it is left alone)"
        change = self.writer.change(SourceState.BLIND, now, reason, sentence)
        return [change, *self.say_late(now, "quarantined")]

    def _suspicion(self) -> tuple[float, str]:
        """How much sooner to look again, and because of what."""
        if self._fire.suspicious:
            return 8.0, "fire"
        if self._blind.suspicious:
            return _URGENCY_BLIND, "blind"
        if self._fire.doubtful:
            return _URGENCY_DOUBTFUL, "fire"
        traffic = self._intrusion.suspicious or any(each.suspicious for _, each in self._traffic)
        return (_URGENCY_TRAFFIC, "traffic") if traffic else (1.0, "")

    def _crowd(self, picture: Picture, found: Detections, hidden: F32) -> list[Observation]:
        records = []
        size = (picture.width, picture.height)
        threshold = self.writer.model.threshold("person")
        for shape, talk in self._crowds:
            counted = count_people(shape, found, threshold, size, self._config.crowd.recall_error)
            if not talk.worth(counted.count, picture.event_time):
                continue
            shown: tuple[EvidenceRef, ...] = ()
            if counted.count >= self._config.crowd.evidence_count_min:
                shown = self._keep(picture, hidden, counted.counted.xyxy, shape, IncidentType.CROWD_DENSITY)
            records.append(self.writer.crowd(counted, picture, shown))
        return records

    def _standing(
        self, picture: Picture, found: Detections, sure: npt.NDArray[np.bool_], hidden: F32
    ) -> list[Observation]:
        records = []
        for kind, stopped in self._traffic:
            for standing in stopped.look(picture, found, sure):
                shown: tuple[EvidenceRef, ...] = ()
                if not standing.gone:
                    shown = self._keep(picture, hidden, standing.boxes, standing.shape, kind)
                records.append(self.writer.standing(kind, standing, picture, shown))
        return records

    def _walking(self, picture: Picture, sure: Detections, hidden: F32) -> list[Observation]:
        records = []
        for walking in self._intrusion.look(picture, sure):
            shown: tuple[EvidenceRef, ...] = ()
            if not walking.gone:
                shown = self._keep(picture, hidden, walking.boxes, walking.shape, IncidentType.INTRUSION)
            records.append(self.writer.intrusion(walking, picture, shown))
        return records

    def _flowing(self, picture: Picture, found: Detections, sure: npt.NDArray[np.bool_]) -> list[Observation]:
        records = []
        for state in self._flow.look(picture, found, sure):
            if state.congestion is not None:
                self._counters.count("lanes_measured", state.congestion.basis)
                records.append(self.writer.congestion(state.shape, state.congestion, picture))
            if state.wrong is not None or state.right_again:
                records.append(self.writer.wrong_way(state.shape, state.wrong, picture))
        return records

    def _burning(
        self, picture: Picture, found: Detections, sure: npt.NDArray[np.bool_], hidden: F32
    ) -> list[Observation]:
        records = []
        thresholds = self.writer.model.thresholds
        weak = found.confidence >= thresholds[found.class_id] * self._config.fire.weak_share
        burning, sure = found[weak], sure[weak]
        if self._second is not None and self._fire.strange(picture, burning):
            burning = seen_twice(burning, self._second(picture.bgr))
            sure = burning.confidence >= thresholds[burning.class_id]
            self._counters.count("second_looks")
        for claim in self._fire.look(picture, burning, sure):
            shown = self._keep(picture, hidden, claim.box[None], claim.shape, claim.type)
            records.append(self.writer.fire(claim, picture, shown))
        if self._fire.steady > self._steady:
            self._counters.count("fire_suppressed", "steady_light", self._fire.steady - self._steady)
            self._steady = self._fire.steady
        return records

    def _say_sight(self, sight: Sight, at: Instant, arrival: Instant) -> list[Record]:
        records: list[Record] = []
        if sight.changed and sight.blind:
            sentence = _BLIND_SENTENCES[sight.reason]
            records.append(self.writer.change(SourceState.BLIND, at, sight.reason, sentence))
            self._counters.count("cameras_blind", sight.reason)
        elif sight.changed:
            records.append(self.writer.change(SourceState.LIVE, at, SEEING, "画面可见 (the camera sees)"))
        if sight.say_unknown:
            records += self._say_unknown(at, arrival, sight.reason)
        return records

    def _say_unknown(self, at: Instant, arrival: Instant, reason: str) -> list[Record]:
        records: list[Record] = []
        for shape, talk in self._crowds:
            talk.unknown()
            records.append(self.writer.unknown(IncidentType.CROWD_DENSITY, shape.zone, at, arrival, reason))
        records += [
            self.writer.unknown(IncidentType.CONGESTION, shape.zone, at, arrival, reason)
            for shape in self._flow.blind()
        ]
        return records

    def _keep(
        self, picture: Picture, hidden: F32, measured: F32, shape: ZoneShape | None, type_: IncidentType
    ) -> tuple[EvidenceRef, ...]:
        """An evidence picture if one is due; without one the observation goes out all the same."""
        if self._evidence is None or not self._evidence.due(picture.source_id, type_, picture.event_time):
            return ()
        zone = shape.pixels(picture.width, picture.height) if shape is not None else None
        return self._write(picture, Drawing(hidden, measured, zone), type_)

    def _write(self, picture: Picture, drawing: Drawing, type_: IncidentType | None) -> tuple[EvidenceRef, ...]:
        """The picture on disk; nothing, counted, when it cannot be kept."""
        if self._evidence is None:
            return ()
        try:
            kept = self._evidence.keep(picture, drawing, type_)
        except StoreError as error:
            self._counters.count("evidence_dropped", error.reason)
            return ()
        self._counters.count("evidence_kept")
        return (kept,)


class Observer:
    """All cameras of this shard."""

    def __init__(
        self,
        *,
        site: str,
        exercise: bool,
        config: InferenceConfig,
        model: Model,
        evidence: EvidenceStore | None,
        counters: StageCounters,
        second: SecondLook | None = None,
    ) -> None:
        """`evidence` None: no picture is ever kept. `second` None: nothing is looked at twice."""
        self._second = second
        self._site = site
        self._exercise = exercise
        self._config = config
        self._evidence = evidence
        self._counters = counters
        self._watches: dict[str, Watch] = {}
        self.model_of: Callable[[str], Model] = lambda _: model
        """Which model looks at a camera."""
        self.asked: Callable[[str], bool] = lambda _: False
        """Whether somebody's look at this camera waits; called in the thread of the observer."""

    def cameras(self, cameras: Iterable[Camera]) -> None:
        """The catalogue as it is now: a camera that is unchanged keeps its memory, others start anew or go."""
        watches: dict[str, Watch] = {}
        for camera in cameras:
            old, model = self._watches.get(camera.id), self.model_of(camera.id)
            if old is not None and old.writer.camera == camera and old.writer.model is model:
                watches[camera.id] = old
                continue
            writer = Writer(self._site, camera, self._exercise or camera.exercise, model)
            watches[camera.id] = Watch(writer, self._config, self._evidence, self._counters, self._second)
        self._watches = watches

    def look(self, picture: Picture, found: Detections, now: Instant) -> Outcome:
        """What a picture with its findings means; nothing for a camera that left the catalogue."""
        watch = self._watches.get(picture.source_id)
        if watch is None:
            return Outcome()
        return watch.look(picture, found, now, asked=self.asked(picture.source_id))

    def refused(self, header: FrameHeader) -> Outcome:
        """A picture could not be decoded."""
        watch = self._watches.get(header.source_id)
        return watch.refused(header) if watch is not None else Outcome()

    def quarantined(self, source_id: str, now: Instant, reason: str) -> list[Record]:
        """The pictures of a camera ended the decoder twice."""
        watch = self._watches.get(source_id)
        return watch.quarantined(now, reason) if watch is not None else []

    def late(self, now: Instant) -> list[Record]:
        """Counts of cameras that were seen and are not any more become unknown; said once per camera."""
        bound_ns = round(self._config.late_s * SECOND)
        records: list[Record] = []
        for watch in self._watches.values():
            if watch.analysed_at is not None and not watch.late and now - watch.analysed_at > bound_ns:
                self._counters.count("cameras_late")
                records += watch.say_late(now)
        return records

    def ages_s(self, now: Instant) -> list[float]:
        """Seconds since the last understood picture of each camera that had one."""
        times = [watch.analysed_at for watch in self._watches.values() if watch.analysed_at is not None]
        return [(now - at) / SECOND for at in times]
