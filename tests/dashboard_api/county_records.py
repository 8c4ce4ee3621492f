"""Realistic records for a wall: a county in the evening, from one seed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from random import Random

import cv2
import numpy as np
from msgspec.structs import replace

from contracts.command import MuteMatcher
from contracts.delivery import Delivery, DeliveryState
from contracts.ids import derive_id
from contracts.incident import Action, Decision, Incident, IncidentState, Level, Reason
from contracts.instant import SECOND, Instant
from contracts.observation import EvidenceRef, IncidentType
from contracts.policy import Belief, LevelRule, Measure, Mute, Policy, TypeRule
from contracts.source import (
    Camera,
    Catalogue,
    HealthReport,
    Sensor,
    SourceChange,
    SourceKind,
    SourceState,
)
from contracts.ticket import Origin, SlaClass, Ticket, TicketEvent, TicketState
from sim.county import County, build_county

SITE = "152921"
LIVE = 48
"""Cameras that are switched on, and heard of."""

POLICY = Policy(
    version=1,
    rules=(
        TypeRule(
            type=IncidentType.CROWD_DENSITY,
            code="21001",
            name_zh="人员密集",
            name_en="Crowd density",
            belief=Belief.SAMPLED,
            measure=Measure.DENSITY,
            levels=(
                LevelRule(Level.BLUE, 1.0, 120.0, SlaClass.P4),
                LevelRule(Level.YELLOW, 2.0, 60.0, SlaClass.P3),
                LevelRule(Level.ORANGE, 3.5, 30.0, SlaClass.P2),
            ),
        ),
        TypeRule(
            type=IncidentType.STOPPED_VEHICLE,
            code="22003",
            name_zh="行车道异常停车",
            name_en="Vehicle stopped in lane",
            belief=Belief.SAMPLED,
            measure=Measure.VALUE,
            levels=(LevelRule(Level.YELLOW, 60.0, 0.0, SlaClass.P3),),
        ),
        TypeRule(
            type=IncidentType.SMOKE_SENSOR,
            code="23004",
            name_zh="感烟报警",
            name_en="Smoke detector alarm",
            belief=Belief.ARRIVAL,
        ),
        TypeRule(
            type=IncidentType.FIRE_CONFIRMED,
            code="23003",
            name_zh="火灾(已确认)",
            name_en="Fire (confirmed)",
            belief=Belief.ARRIVAL,
        ),
    ),
)

_KINDS = (
    (IncidentType.CROWD_DENSITY, "21001", Level.YELLOW, "街道", ("公安派出所",)),
    (IncidentType.STOPPED_VEHICLE, "22003", Level.YELLOW, "公安交管", ()),
    (IncidentType.FLAME_SUSPECTED, "23001", Level.ORANGE, "值班长核实", ("网格员", "街道")),
    (IncidentType.SMOKE_SENSOR, "23004", Level.ORANGE, "使用单位", ("消防",)),
    (IncidentType.FIRE_CONFIRMED, "23003", Level.RED, "消防救援大队", ("应急", "公安", "街道")),
    (IncidentType.CONGESTION, "22001", Level.BLUE, "公安交管", ()),
)
_SLA = {Level.RED: SlaClass.P1, Level.ORANGE: SlaClass.P2, Level.YELLOW: SlaClass.P3, Level.BLUE: SlaClass.P4}


@cache
def county() -> County:
    """The simulated county, built once."""
    return build_county(1, cameras_total=300, sensors_total=120)


def shown_cameras() -> list[Camera]:
    """Cameras that the wall may show: those of the county without its three secret ones."""
    shown = [camera for camera in county().cameras if not camera.secrecy]
    assert len(shown) == len(county().cameras) - 3
    return shown


def catalogue(of: County) -> Catalogue:
    """The first `LIVE` cameras are switched on."""
    live = (replace(each, live=True, url=f"rtsp://10.0.0.1/{each.id}") for each in of.cameras[:LIVE])
    return Catalogue(site=SITE, county=SITE, version=1, cameras=(*live, *of.cameras[LIVE:]), sensors=of.sensors)


def draw_evidence(folder: Path, random: Random, at: Instant, source_id: str) -> EvidenceRef:
    """A pixelated picture of a street at dusk, stored under its hash."""
    small = np.zeros((27, 48, 3), np.uint8)
    small[:12] = (96, 70, 52)
    small[12:] = (58, 62, 66)
    for _ in range(random.randrange(8, 26)):
        x, y = random.randrange(46), random.randrange(10, 24)
        colour = [random.randrange(30, 220) for _ in range(3)]
        cv2.rectangle(small, (x, y), (x + 1, y + 2), colour, -1)
    picture = cv2.resize(small, (640, 360), interpolation=cv2.INTER_NEAREST)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / sha256[:2] / f"{sha256}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return EvidenceRef(
        sha256=sha256,
        path=str(path.relative_to(folder)),
        media_type="image/jpeg",
        width=640,
        height=360,
        size=len(data),
        event_time=at,
        source_id=source_id,
    )


def make_pair(
    number: int, now: Instant, evidence_dir: Path | None = None, *, exercise: bool = False
) -> tuple[Incident, Ticket]:
    """The `number`-th incident of the evening with its ticket; the same number gives the same pair."""
    random = Random(f"pair {number}")
    type_, code, level, lead, co = _KINDS[number % len(_KINDS)]
    source = _pick_source(random, type_)
    opened_at = Instant(now - random.randrange(5, 1_500) * SECOND)
    place = source.place
    incident_id = derive_id("inc", SITE, type_, number)
    ticket_id = derive_id("tkt", incident_id)
    seen = evidence_dir is not None and type_ != IncidentType.SMOKE_SENSOR
    evidence = (draw_evidence(evidence_dir, random, opened_at, source.id),) if seen and evidence_dir else ()
    crowd = type_ == IncidentType.CROWD_DENSITY
    count = random.randrange(40, 180) if crowd else None
    calibrated = number % 12 != 6
    density = round(random.uniform(2.0, 3.4), 1) if crowd and calibrated else None
    confirmed = level == Level.RED
    title = f"{place.name or source.name}"
    incident = Incident(
        id=incident_id,
        site=SITE,
        type=type_,
        code=code,
        state=IncidentState.CONFIRMED if confirmed else IncidentState.PENDING_REVIEW,
        level=level,
        place=place,
        first_event_time=opened_at,
        last_event_time=Instant(now - 2 * SECOND),
        opened_at=opened_at,
        updated_at=opened_at,
        version=1,
        title=title,
        suspected=not confirmed,
        value=float(random.randrange(61, 300)) if type_ == IncidentType.STOPPED_VEHICLE else None,
        unit="s" if type_ == IncidentType.STOPPED_VEHICLE else "",
        count=count,
        count_error=4.0 if crowd else None,
        density=density,
        peak_count=count + 6 if count else None,
        source_ids=(source.id, *([_pick_source(random, IncidentType.SMOKE_SENSOR).id] if confirmed else [])),
        observation_ids=(derive_id("obs", incident_id),),
        observation_total=random.randrange(1, 40),
        evidence=evidence,
        decisions=_decisions(type_, count, density, opened_at),
        ticket_id=ticket_id,
        review_due_at=Instant(now + random.randrange(20, 600) * SECOND),
        exercise=exercise,
    )
    ticket = Ticket(
        id=ticket_id,
        site=SITE,
        case_number=f"{SITE}-20261122-{number + 1:05d}",
        idempotency_key=incident_id,
        type=type_,
        code=code,
        title=title,
        state=(TicketState.REPORTED, TicketState.DISPATCHED, TicketState.IN_PROGRESS)[number % 3],
        level=level,
        sla=_SLA[level],
        origin=Origin.PROACTIVE,
        place=place,
        grid_code=place.grid_code,
        opened_at=opened_at,
        updated_at=opened_at,
        version=1,
        incident_id=incident_id,
        lead=lead,
        co=co,
        suspected=not confirmed,
        description=incident.decisions[-1].text,
        evidence=evidence,
        exercise=exercise,
    )
    return incident, ticket


def _pick_source(random: Random, type_: IncidentType) -> Camera | Sensor:
    sensors = type_ == IncidentType.SMOKE_SENSOR
    pool: tuple[Camera, ...] | tuple[Sensor, ...] = county().sensors if sensors else county().cameras
    return pool[random.randrange(len(pool))]


def _decisions(type_: IncidentType, count: int | None, density: float | None, at: Instant) -> tuple[Decision, ...]:
    if type_ == IncidentType.CROWD_DENSITY and density is None:
        text = f"人数 {count}, 超过核定的 40 并持续 60 秒; 地面未标定, 密度不判"
    elif type_ == IncidentType.CROWD_DENSITY:
        text = f"密度 {density} 人/平方米, 达到 2.0 并持续 60 秒"
    else:
        text = {
            IncidentType.STOPPED_VEHICLE: "车辆停在行车道上已超过 60 秒",
            IncidentType.FLAME_SUSPECTED: "5 次采样中 4 次见明火, 要求 3 次",
            IncidentType.SMOKE_SENSOR: "感烟探测器报警, 到达即处置",
            IncidentType.FIRE_CONFIRMED: "同一防火分区内两个独立来源 90 秒内报警, 确认为火灾",
            IncidentType.CONGESTION: "平均车速 12 km/h, 低于 20 并持续 180 秒",
        }[type_]
    first = Decision(
        at=Instant(at - 60 * SECOND), action=Action.OPEN, reason=Reason.FIRST_EVIDENCE, text="首次发现"
    )
    return (first, Decision(at=at, action=Action.RAISE, reason=Reason.HOLD_MET, text=text))


def make_events(ticket: Ticket) -> tuple[TicketEvent, ...]:
    """Two moves of a ticket."""
    moves = (
        ("T01", "", TicketState.REPORTED, "系统", "自动上报"),
        ("T03", TicketState.REPORTED, TicketState.ACCEPTED, "本机值班员", "已受理"),
    )
    return tuple(
        TicketEvent(
            ticket_id=ticket.id,
            seq=number,
            prev_hash="0" * 64,
            hash=hashlib.sha256(f"{ticket.id}{number}".encode()).hexdigest(),
            actor=actor,
            role="system",
            transition=transition,
            from_state=before,
            to_state=after,
            at=Instant(ticket.opened_at + number * SECOND),
            reason=reason,
        )
        for number, (transition, before, after, actor, reason) in enumerate(moves, 1)
    )


def make_source_changes(now: Instant) -> list[SourceChange]:
    """The cameras and sensors that were heard of, in some states that an operator must see."""
    odd = {
        3: (SourceState.BLIND, "covered", "画面被遮挡, 无法识别"),
        7: (SourceState.FAULTED, "not_found", "RTSP 404: 平台上没有这路视频"),
        11: (SourceState.FAULTED, "unreachable", "无法连接, 16 秒后重试"),
        15: (SourceState.STALE, "stall", "已连接, 8 秒没有关键帧"),
        19: (
            SourceState.SUSPECT,
            "flapping",
            "10 分钟内断开 4 次以上 (its sessions end again and again: broken 4)",
        ),
    }
    changes = []
    for number, camera in enumerate(county().cameras[:LIVE]):
        state, reason, detail = odd.get(number, (SourceState.LIVE, "", ""))
        changes.append(_source_change(camera.id, SourceKind.CAMERA, state, now, reason, detail))
    for number, sensor in enumerate(county().sensors[:110]):
        state = SourceState.STALE if number in (5, 50) else SourceState.LIVE
        changes.append(
            _source_change(
                sensor.id, SourceKind.SENSOR, state, now, "", "三个周期未上报" if state == "stale" else ""
            )
        )
    return changes


def _source_change(
    id_: str, kind: SourceKind, state: SourceState, at: Instant, reason: str, detail: str
) -> SourceChange:
    return SourceChange(
        id=derive_id("src", id_, at),
        site=SITE,
        source_id=id_,
        kind=kind,
        state=state,
        at=at,
        reason=reason,
        detail=detail,
    )


def make_health(now: Instant) -> list[HealthReport]:
    counters = {
        "ingest-cameras": (("pictures_received", 123_456), ("pictures_dropped:overtaken", 812)),
        "ingest-sensors": (("messages_received", 3_321), ("messages_refused:malformed", 3)),
        "inference": (("pictures_decoded", 41_200), ("observations_sent", 640)),
        "alerts": (("steps", 9_120), ("incidents_opened", 24)),
    }
    return [
        HealthReport(
            id=derive_id("health", service),
            site=SITE,
            service=service,
            instance="0",
            at=Instant(now - SECOND),
            started_at=Instant(now - 3_600 * SECOND),
            counters=values,
            gauges=(("queue_depth", 2.0),),
        )
        for service, values in counters.items()
    ]


def make_delivery(ticket: Ticket, state: DeliveryState, now: Instant) -> Delivery:
    return Delivery(
        id=derive_id("dlv", ticket.id),
        target="webhook",
        ticket_id=ticket.id,
        ticket_version=ticket.version,
        state=state,
        attempts=1,
        updated_at=now,
        last_error="" if state == DeliveryState.DELIVERED else "HTTP 422",
    )


def make_mute(now: Instant, *, hours: int = 1) -> Mute:
    return Mute(
        id=derive_id("mute", now, hours),
        matcher=MuteMatcher(source_id=county().sensors[0].id),
        owner="本机值班员",
        reason="设备检修",
        created_at=now,
        expires_at=Instant(now + hours * 3_600 * SECOND),
    )
