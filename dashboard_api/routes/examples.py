"""Examples for the OpenAPI document; a test decodes each of them as what it claims to be."""

from __future__ import annotations

from typing import Any, Final

_LEVEL: Final = {
    "value": 2,
    "zh": "黄",
    "en": "yellow",
    "label": {"zh": "内部告警等级 黄", "en": "Internal alert level yellow"},
}
_PLACE: Final = {
    "lon": 105.668721,
    "lat": 38.834613,
    "name": "王府广场",
    "grid_code": "152921001001001",
    "grid_path": ["巴彦浩特镇", "王府社区", "第一网格"],
    "zone_id": "zone-square",
    "fire_zone": None,
}

INCIDENT: Final[dict[str, Any]] = {
    "id": "inc-4fqm2pz6zq3rsn5ytxk7a",
    "site": "152921",
    "seq": 4711,
    "version": 3,
    "type": {"code": "crowd.density", "zh": "人员密集", "en": "Crowd density"},
    "code": "21001",
    "name": {"zh": "人员密集", "en": "Crowd density"},
    "state": {"code": "A2", "zh": "待研判", "en": "pending review"},
    "open": True,
    "level": _LEVEL,
    "title": "王府广场 人员密集",
    "place": _PLACE,
    "exercise": False,
    "suspected": True,
    "unreviewed": False,
    "unknown": False,
    "operations": False,
    "first_event_time": "2026-11-22T16:03:12.000000+08:00",
    "last_event_time": "2026-11-22T16:04:12.000000+08:00",
    "opened_at": "2026-11-22T16:04:12.100000+08:00",
    "updated_at": "2026-11-22T16:04:12.100000+08:00",
    "measured": {
        "value": None,
        "unit": "",
        "count": 63,
        "count_error": 4.0,
        "density": 2.1,
        "peak_count": 66,
        "peak_density": 2.2,
    },
    "demanded": {"measure": "density", "raise_at": 2.0, "hold_s": 60.0},
    "belief": "sampled",
    "decision": {
        "at": "2026-11-22T16:04:12.100000+08:00",
        "action": "open",
        "reason": {"code": "hold_met", "zh": "持续时间已到", "en": "hold met"},
        "text": "密度 2.1 人/平方米, 达到 2.0 并持续 60 秒",
        "observation_id": "obs-7sk2m5xw3vq4c6d2e5f7a",
    },
    "sources": [{"id": "15292100001320000001", "name": "王府广场东", "kind": "camera"}],
    "observation_total": 14,
    "evidence": [],
    "ticket_id": "tkt-3qf4m2pz6zq3rsn5ytxk7",
    "muted_by": None,
    "owner": None,
    "review_due_at": "2026-11-22T16:14:12.100000+08:00",
    "aliases": [],
}

TICKET: Final[dict[str, Any]] = {
    "id": "tkt-3qf4m2pz6zq3rsn5ytxk7",
    "site": "152921",
    "seq": 4711,
    "version": 1,
    "case_number": "152921-20261122-00017",
    "incident_id": "inc-4fqm2pz6zq3rsn5ytxk7a",
    "type": {"code": "crowd.density", "zh": "人员密集", "en": "Crowd density"},
    "code": "21001",
    "title": "王府广场 人员密集",
    "state": {"code": "10", "zh": "待受理", "en": "reported"},
    "open": True,
    "level": _LEVEL,
    "sla": "P3",
    "origin": "proactive",
    "place": _PLACE,
    "lead": "街道",
    "co": ["公安派出所"],
    "suspected": True,
    "unreviewed": False,
    "description": "密度 2.1 人/平方米, 达到 2.0 并持续 60 秒",
    "evidence": [],
    "external_ids": [],
    "receipt": None,
    "exercise": False,
    "opened_at": "2026-11-22T16:04:12.100000+08:00",
    "updated_at": "2026-11-22T16:04:12.100000+08:00",
    "closed_at": None,
}

COMMANDS: Final[dict[str, Any]] = {
    "confirm": {"value": {"kind": "confirm", "target_id": "inc-4fqm2pz6zq3rsn5ytxk7a", "note": "已电话核实"}},
    "false_alarm": {"value": {"kind": "false_alarm", "target_id": "inc-4fqm2pz6zq3rsn5ytxk7a", "reason": "light"}},
    "acknowledge": {"value": {"kind": "acknowledge", "target_id": "inc-4fqm2pz6zq3rsn5ytxk7a"}},
    "mute": {
        "value": {
            "kind": "mute",
            "reason": "设备检修",
            "until": "2026-11-22T18:00:00+08:00",
            "matcher": {"source_id": "S-017"},
        }
    },
    "ticket_move": {"value": {"kind": "ticket_move", "target_id": "tkt-3qf4m2pz6zq3rsn5ytxk7", "argument": "40"}},
}

FILMSTRIPS: Final[dict[str, Any]] = {
    "items": [
        {
            "id": "strip-7sd2pz6zq3rsn5ytxk7a",
            "incident_id": "inc-4fqm2pz6zq3rsn5ytxk7a",
            "seq": 4713,
            "source": {"id": "15292100001320000001", "name": "王府广场东", "kind": "camera"},
            "state": {"code": "gathering", "zh": "采集中", "en": "being gathered"},
            "at": "2026-11-22T16:04:12.000000+08:00",
            "begin_s": -30.0,
            "end_s": 30.0,
            "pictures": [
                {
                    "offset_s": -2.0,
                    "origin": {"code": "ring", "zh": "内存", "en": "memory"},
                    "evidence": {
                        "sha256": "0" * 64,
                        "url": f"/api/v1/incidents/inc-4fqm2pz6zq3rsn5ytxk7a/evidence/{'0' * 64}",
                        "media_type": "image/jpeg",
                        "width": 416,
                        "height": 234,
                        "event_time": "2026-11-22T16:04:10.000000+08:00",
                        "source_id": "15292100001320000001",
                    },
                }
            ],
            "gaps": [
                {
                    "begin_s": -30.0,
                    "end_s": -2.0,
                    "reason": {
                        "code": "no_recording",
                        "zh": "无录像可取",
                        "en": "nothing recorded that we may read",
                    },
                }
            ],
        }
    ]
}

LOOKS: Final[dict[str, Any]] = {
    "camera": {
        "summary": "看一眼一路摄像机 (one camera)",
        "value": {"source_id": "15292100001320000017", "kind": "crowd.density"},
    },
    "place": {
        "summary": "看一眼一处 (the cameras near a place)",
        "value": {"near": {"lon": 105.668721, "lat": 38.834613, "radius_m": 150}, "kind": "fire.smoke_sensor"},
    },
}
