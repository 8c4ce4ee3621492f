"""`[inference]`: what an operator may set. Every default is meant to be lived with."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.class_names import CLASS_NAMES
from contracts.control import LOOK_WITHIN_S_MAX
from inference.freshness import FreshnessProfile

PLACES_MIN: Final = 2
"""Cameras that any box can promote at once: one for what is suspected, one for a fire."""


class CrowdConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.crowd]`: counting people per zone."""

    repeat_s: float = 10.0
    """An unchanged count of zero is said again after so many seconds; any other count always."""
    recall_error: float = 0.15
    """Share of the count by which missed people move it (one standard error), beside the model's own doubt."""
    evidence_count_min: int = 10
    """From so many people in a zone on a picture is kept with the sample; below, none is."""

    def __post_init__(self) -> None:
        if self.repeat_s <= 0 or self.recall_error < 0 or self.evidence_count_min < 1:
            raise ValueError("crowd.repeat_s > 0, crowd.recall_error >= 0 and crowd.evidence_count_min >= 1")


class TrafficConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.traffic]`: vehicles that stand in a live lane."""

    claim_s: float = 10.0
    """A vehicle that stands so many seconds is told to alerts, which holds it against its own threshold."""
    samples_min: int = 3
    """Pictures that must show it standing before it is told."""
    gone_samples: int = 2
    """Pictures in a row without it after which it is gone."""
    overlap_min: float = 0.5
    """Intersection over union with its first box that still counts as the same spot, 0..1."""
    likeness_min: float = 0.7
    """Correlation of the box's pixels with the picture before, -1..1; below, another vehicle took the spot."""
    sure_share: float = 0.5
    """Share of its pictures, 0..1, in which the vehicle was found with full confidence, not only suspected."""
    background_s: float = 600.0
    """Vehicles there in the first picture and never seen to stop are background after so many seconds."""

    def __post_init__(self) -> None:
        if self.claim_s < 0 or self.samples_min < 2 or self.gone_samples < 1:
            raise ValueError("traffic.claim_s >= 0, traffic.samples_min >= 2 and traffic.gone_samples >= 1")
        if not 0 < self.overlap_min < 1 or not -1 <= self.likeness_min < 1:
            raise ValueError("traffic.overlap_min lies in 0..1 and traffic.likeness_min in -1..1")
        if not 0 <= self.sure_share <= 1 or self.background_s <= 0:
            raise ValueError("traffic.sure_share lies in 0..1 and traffic.background_s is positive")


class FlowConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.flow]`: speed, queue and congestion of lanes, measured in bursts of looks."""

    every_s: float = 25.0
    """A lane that looks busy is measured every so many seconds, at most."""
    burst_s: float = 6.0
    """So many seconds its pictures are looked at one after another..."""
    look_s: float = 0.12
    """...one in so many seconds."""
    at_once: int = 1
    """Cameras in a burst at once, at most; each takes some eight looks a second. 0 = nothing is measured."""
    busy_share: float = 0.2
    """Share of a lane, 0..1, covered by vehicles in a key picture from which it is busy..."""
    vehicles_min: int = 4
    """...or so many vehicles in it."""
    full_share: float = 0.2
    """Share of a lane, 0..1, covered by slow vehicles from which it is congested where speed is not known..."""
    bursts_min: int = 2
    """...in every burst of `cycle_s`, and so many at least."""
    cycle_s: float = 120.0
    """The grade is that of the last so many seconds: at least one signal cycle."""

    def __post_init__(self) -> None:
        if not 3 <= self.burst_s <= 30 or not 0.04 <= self.look_s <= 0.25:
            raise ValueError("flow.burst_s lies in 3..30 and flow.look_s in 0.04..0.25")
        if self.every_s < self.burst_s or not self.every_s <= self.cycle_s <= 600:
            raise ValueError("flow: burst_s <= every_s <= cycle_s <= 600")
        if not 0 < self.busy_share <= 1 or not 0 < self.full_share <= 1 or self.vehicles_min < 2:
            raise ValueError("flow.busy_share and flow.full_share lie in 0..1, flow.vehicles_min is 2 at least")
        if not 0 <= self.at_once <= 16 or self.bursts_min < 1:
            raise ValueError("flow.at_once lies in 0..16, flow.bursts_min is 1 at least")


class IntrusionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.intrusion]`: people on foot in a live traffic lane."""

    persist_s: float = 3.0
    """Somebody is in the lane in pictures that span so many seconds..."""
    samples_min: int = 3
    """...and are so many, from one to the next no further than one walks."""
    gap_max_s: float = 15.0
    """Pictures further apart than this many seconds begin anew."""
    repeat_s: float = 10.0
    """While there are people, said again after so many seconds."""

    def __post_init__(self) -> None:
        if self.persist_s < 0 or self.samples_min < 1 or self.gap_max_s <= 0 or self.repeat_s < 0:
            raise ValueError("intrusion: persist_s >= 0, samples_min >= 1, gap_max_s > 0, repeat_s >= 0")


class FireConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.fire]`: flame and smoke in n of m samples, changing."""

    seen_min: int = 3
    """n: pictures that must show it..."""
    window: int = 5
    """m: ...of the last so many..."""
    weak_share: float = 0.6
    """...each with this share of the class's threshold at least, 0..1..."""
    sure_min: int = 1
    """...and so many of them with all of it."""
    persist_s: float = 3.0
    """Seconds between the first and the last of them, at least."""
    second_look: int = 640
    """Longer side, in pixels, at which the network looks again at a picture that may show flame or smoke; the mean
    of both confidences counts. 0 = never. Twice the time of a look, for those pictures alone."""
    gap_max_s: float = 30.0
    """Pictures further apart than this many seconds begin a new window."""
    growth_min: float = 1.25
    """Largest over smallest area of the box in the window from which it counts as growing."""
    flicker_flame: float = 8.0
    """Mean change of brightness in the box between two pictures (0..255) from which a flame flickers."""
    flicker_smoke: float = 3.0
    """The same for smoke, which drifts."""
    repeat_s: float = 10.0
    """While seen, said again after so many seconds."""

    def __post_init__(self) -> None:
        if not 1 <= self.seen_min <= self.window <= 60:
            raise ValueError("fire.seen_min lies between 1 and fire.window, which is at most 60")
        if self.second_look and not 64 <= self.second_look <= 1536:
            raise ValueError("fire.second_look is 0 or lies in 64..1536")
        if not 0.2 <= self.weak_share <= 1 or not 1 <= self.sure_min <= self.seen_min:
            raise ValueError("fire.weak_share lies in 0.2..1 and fire.sure_min in 1..fire.seen_min")
        if self.persist_s < 0 or self.gap_max_s <= 0 or self.growth_min <= 1 or self.repeat_s < 0:
            raise ValueError("fire: persist_s >= 0, gap_max_s > 0, growth_min > 1, repeat_s >= 0")


class BlindConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.blind]`: pictures in which nothing can be seen."""

    samples: int = 3
    """Pictures in a row that must be covered, dark, moved, blurred or undecodable."""
    view_pictures: int = 12
    """Pictures from which the usual view of a camera is known, by day and in infrared each for itself."""
    moved_likeness: float = 0.25
    """Correlation of its edges with the usual view (-1..1) below which a camera was turned to another place..."""
    blurred_share: float = 0.35
    """...and share of the usual sharpness below which it is out of focus, dirty or in fog. 0 = never, for both."""
    frozen_samples: int = 5
    """Pictures in a row that must be identical to the last byte, with nothing moving between them..."""
    frozen_samples_unsure: int = 15
    """...or so many while it is not known that nothing moves between them (`activity` of the pictures)."""
    dark_mean: float = 14.0
    """Mean brightness (0..255) below which a picture is dark..."""
    dark_peak: float = 60.0
    """...if its brightest hundredth is below this, too: a night street with one lamp is not blind."""
    flat_deviation: float = 5.0
    """Standard deviation of brightness below which a picture is flat (a hand, a bag, paint)."""
    repeat_s: float = 10.0
    """While blind, the counts of its zones are said to be unknown every so many seconds."""

    def __post_init__(self) -> None:
        if self.view_pictures < 2 or not 0 <= self.moved_likeness < 1 or not 0 <= self.blurred_share < 1:
            raise ValueError("blind.view_pictures >= 2, moved_likeness and blurred_share lie in 0..1")
        if self.samples < 1 or self.frozen_samples < 2 or self.frozen_samples_unsure < self.frozen_samples:
            raise ValueError("blind.samples >= 1, frozen_samples >= 2, frozen_samples_unsure >= frozen_samples")


class EvidenceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.evidence]`: pixelated pictures beside observations."""

    every_s: float = 20.0
    """At most one picture per camera and incident type in so many seconds."""
    width_max: int = 640
    """Width in pixels, at most 640 by rule of the product."""
    floor: float = 0.05
    """Persons and vehicles found with this confidence are pixelated; lower hides more."""
    quality: int = 80
    """JPEG quality, 1..100."""
    budget_mb: int = 4096
    """Megabytes of evidence pictures on disk; beyond, observations go out without one (counted). 0 = none."""
    reserve_mb: int = 512
    """Free megabytes of the disk that evidence never touches, so that tickets commit."""

    def __post_init__(self) -> None:
        if not 64 <= self.width_max <= 640:
            raise ValueError("evidence.width_max lies between 64 and 640")
        if not 0 < self.floor <= 0.2:
            raise ValueError("evidence.floor lies in 0..0.2: what is hardly seen must be pixelated, too")
        if not 1 <= self.quality <= 100 or self.budget_mb < 0 or self.reserve_mb < 0:
            raise ValueError("evidence.quality lies in 1..100; budget_mb and reserve_mb are not negative")


class PromotionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.promotion]`: cameras of which every picture is decoded for a while."""

    cameras_max: int | None = None
    """Cameras promoted at once, at most; 0 = none ever. Without it as many as `share` of the cores carries:
    printed at start."""
    share: float = 0.25
    """Share of the box's cores, 0..1, for promoted cameras. Each costs a decoder every picture."""
    hold_s: float = 20.0
    """A camera stays promoted for so many seconds after its suspicion was last seen..."""
    longest_s: float = 120.0
    """...but no longer than so many seconds at a time..."""
    rest_s: float = 60.0
    """...after which it is left to its key pictures for so many seconds."""
    urgency_min: float = 2.0
    """Suspicion from which a camera is promoted, 1..8: 2 a standing vehicle, 4 a covered picture, 8 a fire."""
    look_s: float = 0.8
    """Of a promoted camera's pictures, which are all decoded, one in so many seconds is looked at, at most."""
    decode_max: int = 16
    """Pictures of promoted cameras that are pulled and decoded at once, at most."""

    def __post_init__(self) -> None:
        if not 0 <= self.places <= 64 or not 1 <= self.decode_max <= 64:
            raise ValueError("promotion.cameras_max lies in 0..64 and promotion.decode_max in 1..64")
        if not 0 < self.hold_s <= self.longest_s or self.rest_s < 0 or self.look_s <= 0:
            raise ValueError("promotion: 0 < hold_s <= longest_s, rest_s >= 0, look_s > 0")
        if not 1 < self.urgency_min <= 8:
            raise ValueError("promotion.urgency_min lies over 1 and is at most 8")
        if not 0 < self.share <= 1:
            raise ValueError("promotion.share lies over 0 and is at most 1")

    @property
    def places(self) -> int:
        """Cameras promoted at once; before the box is measured (inference.places) the least that any carries."""
        return PLACES_MIN if self.cameras_max is None else self.cameras_max


class LookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.look]`: immediate looks that somebody waits for."""

    at_once_max: int = 16
    """Looks that wait for their answer at once, at most; one more is told that we are busy."""
    within_max_s: float = LOOK_WITHIN_S_MAX
    """Nobody's look waits for a picture longer than so many seconds."""
    fresh_s: float = 1.0
    """A picture that came this many seconds before the question still answers it."""

    def __post_init__(self) -> None:
        if not 1 <= self.at_once_max <= 64 or self.within_max_s <= 0 or self.fresh_s < 0:
            raise ValueError("look: at_once_max lies in 1..64, within_max_s > 0, fresh_s >= 0")


class FilmstripConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.filmstrip]`: pictures from before to after an incident, as alerts asks for them."""

    at_once: int = 16
    """Filmstrips in work at once; more are refused as busy, and asked for again."""
    width_max: int = 416
    """Width of their pictures in pixels: many small ones tell more than one large one."""

    def __post_init__(self) -> None:
        if not 1 <= self.at_once <= 256 or not 64 <= self.width_max <= 640:
            raise ValueError("filmstrip.at_once lies in 1..256, width_max in 64..640")


class ShadowConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.shadow]`: a second model that looks at some pictures without effect; differences are counted."""

    model: str = ""
    """Folder of the model below `paths.models`; "" = none."""
    share: float = 0.05
    """Share of the pictures, 0..1, that it looks at, too; none while pictures wait."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError("shadow.share lies over 0 and is at most 1")


class CanaryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.canary]`: a new model on some cameras, for real; it ends by itself when its alerts drift."""

    model: str = ""
    """Folder of the model below `paths.models`; "" = none."""
    share: float = 0.1
    """Share of the cameras, 0..1, that it looks after."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.5:
            raise ValueError("canary.share lies over 0 and is at most 0.5")


class InferenceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference]`: model, scheduling and decoding."""

    model: str = "county-nano"
    """Folder of the model below `paths.models`."""
    threads: int = 1
    """Threads of one ONNX Runtime session."""
    batch_max: int = 1
    """Pictures that go through the network at once, at most; a batch never waits to be filled. On one core fours
    gain a tenth of the time at most (bench.inference) and delay the first of them."""
    pull_max: int = 4
    """Pictures that are pulled and decoded at once, at most."""
    frame_workers: int = 1
    """Ingest workers whose pictures are pulled: links frames-0 ... frames-(n-1)."""
    thresholds: dict[str, float] = {}
    """Confidence per class from which a finding counts, instead of the model's own: `{ person = 0.35 }`."""
    freshness_s: float = 10.0
    """Every camera is looked at within so many seconds, while there is capacity for it."""
    profiles: dict[str, FreshnessProfile] = {}
    """Freshness by what a camera looks at and the hour, beside those that every site has (school_gate, square,
    junction, forest, alley); one of the same name replaces it. Which a camera has stands in the catalogue."""
    rest_s: float = 1.0
    """A camera looked at is left alone for so many seconds, unless it is suspected."""
    suspect_s: float = 30.0
    """A camera with something suspicious is preferred for so many seconds."""
    picture_age_max_s: float = 20.0
    """A waiting picture older than this is dropped (counted): it tells of the past."""
    late_s: float = 60.0
    """A camera without an analysed picture for so many seconds is late: its counts are unknown."""
    decoders: int = 1
    """Child processes that decode."""
    decode_timeout_s: float = 3.0
    """A decoder that is silent for so many seconds over one picture is ended and started again."""
    access_unit_max_kb: int = 2048
    """Encoded pictures over so many kilobytes are refused (counted)."""
    picture_pixels_max: int = 230_400
    """Decoded pictures are scaled down to at most so many pixels (640x360) before anything looks at them: what the
    network and evidence need, and no more."""
    quarantine_s: float = 3600.0
    """A camera whose pictures ended the decoder twice is left alone for so many seconds."""
    outgoing_max: int = 4096
    """Records that wait for alerts, at most; samples are shed first, oldest first (counted)."""
    crowd: CrowdConfig = CrowdConfig()
    traffic: TrafficConfig = TrafficConfig()
    flow: FlowConfig = FlowConfig()
    intrusion: IntrusionConfig = IntrusionConfig()
    fire: FireConfig = FireConfig()
    blind: BlindConfig = BlindConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    promotion: PromotionConfig = PromotionConfig()
    shadow: ShadowConfig = ShadowConfig()
    canary: CanaryConfig = CanaryConfig()
    look: LookConfig = LookConfig()
    filmstrip: FilmstripConfig = FilmstripConfig()

    def __post_init__(self) -> None:
        if (self.fire.window - 1) * self.promotion.look_s < self.fire.persist_s:
            raise ValueError(
                "promotion.look_s is too short: the last fire.window looks must span fire.persist_s seconds"
            )
        whole = (
            self.threads,
            self.batch_max,
            self.pull_max,
            self.frame_workers,
            self.decoders,
            self.access_unit_max_kb,
        )
        if min(whole) < 1 or max(self.batch_max, self.pull_max, self.decoders) > 64:
            raise ValueError(
                "threads, batch_max, pull_max, frame_workers and decoders lie in 1..64, access_unit_max_kb is at "
                "least 1"
            )
        if self.freshness_s <= 0 or self.rest_s < 0 or self.decode_timeout_s <= 0 or self.late_s <= 0:
            raise ValueError("freshness_s, decode_timeout_s and late_s are positive, rest_s is not negative")
        if self.picture_pixels_max < 64 * 64 or self.outgoing_max < 16:
            raise ValueError("picture_pixels_max is at least 4096 and outgoing_max at least 16")
        for name, value in self.thresholds.items():
            if name not in CLASS_NAMES:
                raise ValueError(f"thresholds.{name}: unknown class; write one of {', '.join(CLASS_NAMES)}")
            if not 0 < value < 1:
                raise ValueError(f"thresholds.{name} = {value}: a confidence lies between 0 and 1")
