"""Real bytes of catalogues: spreadsheets in the encodings of Chinese offices, messages, answers of a platform."""

from __future__ import annotations

import hashlib

import httpx

from sim.wvp_platform import PASSWORD, USER, WvpPlatform, serving
from tests.alerts.catalogue.entries import NVR, camera_id, catalog_xml, csv_bytes, entry, status_xml
from tests.fuzz.catalogue_targets import SEPARATOR


def spreadsheets() -> dict[str, bytes]:
    """Catalogue files by name."""
    rows = [entry(1), entry(2, secrecy="1"), entry(3, coordinates="GCJ-02", name='"广场,东"')]
    regulation = (
        "设备编码\t名称\t经度\t纬度\t系统类别\t管理单位\t临近涉密单位\t涉密单位同意\t提示标识\t启用日期\t备案日期\t备案号\t"
        "留存天数\t接入\t录像机\t通道\t回放地址\r\n"
        f"{camera_id(7)}\t学校\t105.702\t38.803\t第九条\t教育局\t否\t\t是\t2026年11月22日\t2026/11/23\t备-1\t30\t1\t{NVR}\t"
        f"{NVR}/{camera_id(7)}\trtsp://10.0.0.1/rec\r\n"
    )
    return {
        "utf8-mark": csv_bytes(rows),
        "gbk": csv_bytes(rows, "gbk"),
        "gb18030-rare": csv_bytes([entry(4, name="㐂镕路口"), entry(5, lon="", lat="")], "gb18030"),
        "utf16": csv_bytes(rows[:2], "utf-16"),
        "english-semicolon": (
            f"id;longitude;latitude;name;department;rtsp\n{camera_id(9)};105.703;38.802;gate;police;rtsp://h/9\n"
        ).encode(),
        "regulation-tab": regulation.encode("gb18030"),
    }


def grants() -> dict[str, bytes]:
    """Files of share grants by name."""
    text = (
        "授权编号,授权单位,摄像机,用途,批准人,生效,到期\r\n"
        f"G-1,公安局,{camera_id(1)} {camera_id(2)},联动指挥,张,2026-01-01,2026-12-31\r\n"
        "G-2,教育局,,安全生产,李,2026/01/01,2027-01-01T08:00:00+08:00\r\n"
    )
    english = "id,owner,purpose,expires\nG-3,police,command,2027-06-30\n"
    return {"gb18030": text.encode("gb18030"), "utf8-mark": text.encode("utf-8-sig"), "english": english.encode()}


def messages() -> dict[str, bytes]:
    """Files of catalogue messages by name."""
    head = b"MESSAGE sip:34020000002000000001@3402000000 SIP/2.0\r\nContent-Type: Application/MANSCDP+xml\r\n\r\n"
    return {
        "gb2312": catalog_xml([1, 2], total=2),
        "utf8": catalog_xml([3], total=1, encoding="UTF-8", name="A&amp;B{}"),
        "two-parts": catalog_xml([1, 2], total=3) + catalog_xml([3], total=3),
        "sip": head + catalog_xml([4], total=1, sn=18) + head + catalog_xml([5], total=1, sn=19),
        "truncated": catalog_xml([1], total=2) + catalog_xml([2], total=2)[:-40],
        "notify-add-update": catalog_xml([1], total=2, event="ADD") + catalog_xml([2], total=2, event="UPDATE"),
        "notify-after-answer": (
            catalog_xml([1, 2, 3], total=3)
            + status_xml("DEL", [2], total=1, sn=20)
            + status_xml("OFF", [1, 3], total=2, sn=21, secrecy="1")
        ),
        "entity-bomb": _bomb() + catalog_xml([8], total=1),
        "deep": catalog_xml([9], total=1).replace(b"<Info>", b"<Info>" + b"<a>" * 12 + b"</a>" * 12),
        "notify-no-event": catalog_xml([7], total=1, event=""),
        "utf8-called-gb2312": catalog_xml([6], total=1, encoding="UTF-8").replace(b'"UTF-8"', b'"GB2312"'),
    }


def _bomb() -> bytes:
    """A billion laughs."""
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    return (
        f'<?xml version="1.0"?>\n<!DOCTYPE r [<!ENTITY e0 "lol">{entities}]>\n<Response>&e9;</Response>\n'.encode()
    )


async def platform_answers() -> dict[str, bytes]:
    """What a platform says to a login, for its pages and to a wish to play; by name."""
    corrected = {"gbLongitude": 105.7049, "gbLatitude": 38.8021, "gbSecrecy": "0", "gbName": "改名"}
    return {
        "pages": await _answers(3),
        "corrected": await _answers(1, **corrected),
        "secret": await _answers(1, secrecy=1),
    }


async def _answers(count: int, **more: object) -> bytes:
    """All that one platform with `count` channels is asked."""
    async with serving(WvpPlatform()) as platform, httpx.AsyncClient(trust_env=False) as client:
        platform.add(NVR, count, **more)
        platform.stream_url = "rtsp://10.0.0.5:554/rtp/{channel}"
        login = {"username": USER, "password": hashlib.md5(PASSWORD.encode()).hexdigest()}
        said = [(await client.get(f"{platform.url}/api/user/login", params=login)).content]
        for path in (
            "device/query/devices?page=1&count=3",
            f"device/query/devices/{NVR}/channels?page=1&count=3",
            f"play/start/{NVR}/{platform.channels[NVR][0]['deviceId']}",
        ):
            headers = {"access-token": next(iter(platform.tokens))}
            said.append((await client.get(f"{platform.url}/api/{path}", headers=headers)).content)
    return SEPARATOR.join((*said, b"200"))
