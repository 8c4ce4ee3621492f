"""Names for people, Chinese and English, of the codes that the records carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from contracts.command import FALSE_ALARM_REASONS as FALSE_ALARM_REASONS
from contracts.filmstrip import FilmstripOrigin, FilmstripState
from contracts.incident import IncidentState, Level, Reason
from contracts.look_words import CLASSES as CLASSES
from contracts.look_words import LOOK_OUTCOMES as LOOK_OUTCOMES
from contracts.look_words import LOOK_REASONS as LOOK_REASONS
from contracts.observation import IncidentType
from contracts.ticket import TicketState

UNREPORTED: Final = "unreported"
"""State of a source of the catalogue that nothing was heard of yet."""

Pair = tuple[str, str]


class Name(msgspec.Struct, frozen=True, gc=False):
    """One thing's name in both languages of the product."""

    zh: str
    en: str


TYPES: Final[Mapping[str, Pair]] = {
    IncidentType.CROWD_DENSITY: ("人员密集", "Crowd density"),
    IncidentType.CROWD_CAPACITY: ("超核定容量", "Over approved capacity"),
    IncidentType.STOPPED_VEHICLE: ("行车道异常停车", "Vehicle stopped in lane"),
    IncidentType.CONGESTION: ("道路拥堵", "Traffic congestion"),
    IncidentType.WRONG_WAY: ("车辆逆行", "Wrong way"),
    IncidentType.INTRUSION: ("行人闯入车行道", "People on the carriageway"),
    IncidentType.FIRE_LANE: ("占用消防车通道", "Fire lane blocked"),
    IncidentType.FLAME_SUSPECTED: ("疑似明火(视频)", "Suspected flame (video)"),
    IncidentType.SMOKE_SUSPECTED: ("疑似烟雾(视频)", "Suspected smoke (video)"),
    IncidentType.FIRE_CONFIRMED: ("火灾(已确认)", "Fire (confirmed)"),
    IncidentType.SMOKE_SENSOR: ("感烟报警", "Smoke detector alarm"),
    IncidentType.HEAT: ("感温/高温报警", "Heat alarm"),
    IncidentType.ELECTRICAL: ("电气火灾监控报警", "Electrical fire monitor alarm"),
    IncidentType.GAS_LEL1: ("可燃气体一级", "Combustible gas, stage 1"),
    IncidentType.GAS_LEL2: ("可燃气体二级", "Combustible gas, stage 2"),
    IncidentType.GAS_CO: ("一氧化碳超限", "Carbon monoxide over limit"),
    IncidentType.PONDING: ("道路积水", "Water on road"),
    IncidentType.VIDEO_LOSS: ("视频丢失", "Video loss"),
    IncidentType.VIDEO_QUALITY: ("视频遮挡/过暗/移位", "Camera covered, dark or moved"),
    IncidentType.SENSOR_FAULT: ("传感器离线/失准", "Sensor offline or faulty"),
    IncidentType.EDGE_OFFLINE: ("边缘节点离线", "Edge node offline"),
}

LEVELS: Final[Mapping[Level, Pair]] = {
    Level.NONE: ("无", "none"),
    Level.BLUE: ("蓝", "blue"),
    Level.YELLOW: ("黄", "yellow"),
    Level.ORANGE: ("橙", "orange"),
    Level.RED: ("红", "red"),
}

INCIDENT_STATES: Final[Mapping[str, Pair]] = {
    IncidentState.CANDIDATE: ("候选", "candidate"),
    IncidentState.PENDING_REVIEW: ("待研判", "pending review"),
    IncidentState.CONFIRMED: ("已确认", "confirmed"),
    IncidentState.FALSE_ALARM: ("误报", "false alarm"),
    IncidentState.MERGED: ("已合并", "merged"),
    IncidentState.EXPIRED: ("已过期", "expired"),
    IncidentState.CLEARED: ("已解除", "cleared"),
}

TICKET_STATES: Final[Mapping[str, Pair]] = {
    TicketState.REPORTED: ("待受理", "reported"),
    TicketState.UNLOCATED: ("待定位", "unlocated"),
    TicketState.ACCEPTED: ("待立案", "accepted"),
    TicketState.REGISTERED: ("待派遣", "registered"),
    TicketState.DISPATCHED: ("待接单", "dispatched"),
    TicketState.WHISTLED: ("吹哨召集", "whistled"),
    TicketState.IN_PROGRESS: ("处置中", "in progress"),
    TicketState.SUSPENDED: ("挂起", "suspended"),
    TicketState.RESOLVED: ("待核查", "resolved"),
    TicketState.VERIFIED: ("待评价", "verified"),
    TicketState.CLOSED: ("已结案", "closed"),
    TicketState.REJECTED: ("不予立案", "rejected"),
    TicketState.CANCELLED: ("作废", "cancelled"),
    TicketState.MERGED: ("已并案", "merged"),
    TicketState.TRANSFERRED: ("已移交", "transferred"),
}

TRANSITIONS: Final[Mapping[str, Pair]] = {
    "T01": ("上报", "reported"),
    "T02": ("定位", "locating"),
    "T03": ("受理", "accepted"),
    "T04": ("不予受理", "turned down"),
    "T05": ("并案", "merged"),
    "T06": ("立案", "registered"),
    "T07": ("派单", "dispatched"),
    "T08": ("接单", "taken on"),
    "T09": ("退单", "returned"),
    "T10": ("指定派单", "dispatched by designation"),
    "T11": ("吹哨", "whistled for help"),
    "T12": ("会商结论", "agreed in consultation"),
    "T13": ("挂起", "suspended"),
    "T14": ("恢复", "resumed"),
    "T15": ("处置反馈", "handled, reported back"),
    "T16": ("核查不通过", "verification failed"),
    "T17": ("核查通过", "verified"),
    "T18": ("结案", "closed"),
    "T19": ("二次办理", "handled a second time"),
    "T20": ("重开", "reopened"),
    "T21": ("移交", "transferred"),
    "T22": ("作废", "cancelled"),
    "LEVEL": ("等级变更", "level changed"),
}
"""Moves of a ticket by their number."""

SERVICES: Final[Mapping[str, Pair]] = {
    "alerts": ("告警", "alerts"),
    "api": ("接口", "interface"),
    "inference": ("推理", "inference"),
    "ingest-cameras": ("视频接入", "video intake"),
    "ingest-sensors": ("传感接入", "sensor intake"),
}

SOURCE_STATES: Final[Mapping[str, Pair]] = {
    "off": ("未启用", "off"),
    "connecting": ("连接中", "connecting"),
    "live": ("在线", "live"),
    "stale": ("断流", "stale"),
    "suspect": ("可疑", "suspect"),
    "blind": ("看不清", "blind"),
    "faulted": ("故障", "faulted"),
    UNREPORTED: ("未上报", "not heard of yet"),
}

FILMSTRIP_STATES: Final[Mapping[str, Pair]] = {
    FilmstripState.WANTED: ("等待画面", "waiting for pictures"),
    FilmstripState.GATHERING: ("采集中", "being gathered"),
    FilmstripState.COMPLETE: ("已完成", "complete"),
}

FILMSTRIP_ORIGINS: Final[Mapping[str, Pair]] = {
    FilmstripOrigin.RING: ("内存", "memory"),
    FilmstripOrigin.RECORDING: ("录像", "recording"),
    FilmstripOrigin.LIVE: ("实时", "live"),
}

REASONS: Final[Mapping[str, Pair]] = {
    Reason.FIRST_EVIDENCE: ("首次发现", "first evidence"),
    Reason.BELOW_THRESHOLD: ("低于阈值", "below threshold"),
    Reason.HOLD_RUNNING: ("持续时间未到", "hold running"),
    Reason.HOLD_MET: ("持续时间已到", "hold met"),
    Reason.HOLD_BROKEN_BY_GAP: ("采样中断, 重新计时", "hold broken by a gap"),
    Reason.ACTS_ON_ARRIVAL: ("到达即处置", "acts on arrival"),
    Reason.TICKET_OPENED: ("开立工单", "ticket opened"),
    Reason.ESCALATED: ("升级", "escalated"),
    Reason.LEVEL_LOWERED: ("降级", "level lowered"),
    Reason.SAME_INCIDENT: ("同一告警", "same incident"),
    Reason.SECOND_INDEPENDENT_SOURCE: ("第二个独立来源印证", "second independent source"),
    Reason.CLEAR_HOLD_RUNNING: ("解除计时中", "clear hold running"),
    Reason.QUIET_LONG_ENOUGH: ("平静已足够久", "quiet long enough"),
    Reason.RESET_BY_SOURCE: ("来源已复位", "reset by source"),
    Reason.HELD_OPEN_UNKNOWN: ("来源看不清, 保持告警", "held open: source cannot tell"),
    Reason.NOBODY_ACTED: ("无人研判", "nobody acted"),
    Reason.REVIEW_TIMEOUT_FAIL_SAFE: ("超时自动转派, 仍为疑似", "review timed out: passed on, still suspected"),
    Reason.CONFIRMED_BY_PERSON: ("人工研判属实", "confirmed by a person"),
    Reason.FALSE_ALARM_BY_PERSON: ("人工判为误报", "false alarm by a person"),
    Reason.CLEARED_BY_PERSON: ("人工解除", "cleared by a person"),
    Reason.WAITS_FOR_PERSON: ("等待人工判定", "waits for a person"),
    Reason.LIMIT_REACHED: ("达到上限", "limit reached"),
    Reason.LOOKED_AT: ("看一眼", "looked at"),
    Reason.CLAIMED_BY_PERSON: ("人工认领", "claimed by a person"),
    Reason.MUTED: ("已静音", "muted"),
    Reason.MUTE_ENDED: ("静音已结束", "mute ended"),
    Reason.DUPLICATE: ("重复", "duplicate"),
    Reason.TOO_LATE: ("到达过晚", "too late"),
    Reason.LATE_ALARM: ("迟到的报警", "late alarm"),
    Reason.FROM_THE_FUTURE: ("时间在未来", "from the future"),
    Reason.UNCALIBRATED: ("未标定", "uncalibrated"),
    Reason.UNKNOWN_TYPE: ("未知类型", "unknown type"),
    Reason.WRONG_SITE: ("站点不符", "wrong site"),
    Reason.BELOW_CONFIDENCE: ("置信度不足", "below confidence"),
    Reason.OPERATIONS_QUEUE: ("转运维", "operations queue"),
    Reason.OUTDATED_ZONE: ("区域版本过旧", "outdated zone"),
    "malformed": ("无法解析", "malformed"),
    "unknown_source": ("目录中无此来源", "unknown source"),
    "too_large": ("超过大小上限", "too large"),
    "schema_version": ("记录版本不符", "schema version"),
    "bad_quality": ("数值无效", "bad value"),
    "stale": ("消息过期", "stale message"),
    "not_found": ("不存在", "not found"),
    "refused_credentials": ("凭据被拒", "credentials refused"),
    "unreachable": ("无法连接", "unreachable"),
    "no_file_descriptors": ("本机打开文件数已达上限", "this box may open no more files"),
    "stall": ("断流", "stall"),
    "covered": ("被遮挡", "covered"),
    "dark": ("过暗", "too dark"),
    "protocol_violation": ("协议错误", "protocol violation"),
    "garbage": ("不是 RTSP", "not RTSP"),
    "closed": ("对方关闭连接", "closed by the peer"),
    "no_key_picture": ("没有关键帧", "no key picture"),
    "patrol": ("轮巡中", "visited in turn"),
    "patrol_missed": ("轮巡未轮到", "turns on patrol missed"),
    "no_credentials": ("未配置凭据", "no credentials"),
    "clock_skew": ("设备时钟不准", "clock is off"),
    "clock_jump": ("设备时钟跳变", "clock jumps"),
    "size_collapse": ("画面数据骤减", "pictures have collapsed in size"),
    "packet_loss": ("丢包", "packets are lost"),
    "flapping": ("反复断线", "connects and breaks again and again"),
    "stuck": ("数值无变化", "value does not move"),
    "not_live": ("未启用", "not switched on"),
    "no_url": ("没有地址", "no URL"),
    "secrecy": ("涉密, 不接入", "secret, never opened"),
    "forbidden_place": ("禁止场所, 不接入", "forbidden place, never opened"),
    "no_consent": ("涉密单位未同意, 不接入", "no consent of the secret unit, never opened"),
    "no_grant": ("没有共享授权", "not granted by its owner"),
    "grant_expired": ("共享授权已到期", "share grant expired"),
    "grant_not_begun": ("共享授权尚未生效", "share grant has not begun"),
    "platform_unreachable": ("平台无应答", "the platform does not answer"),
    "platform_refused": ("平台拒绝访问", "refused by the platform"),
    "platform_not_found": ("平台上不存在", "not on the platform"),
    "platform_protocol": ("平台应答无法识别", "the platform's answer is not understood"),
    "stream_unavailable": ("平台无法点播", "the platform cannot play it"),
    "no_channel": ("缺少平台通道号", "no channel of the platform"),
    "no_recording": ("没有可读的录像", "no recordings for us"),
    "frozen": ("画面冻结", "frozen picture"),
    "moved": ("画面移位, 区域不再对应", "turned away, its zones no longer fit"),
    "blurred": ("画面模糊", "blurred"),
    "undecodable": ("画面无法解码", "pictures do not decode"),
    "corrupt": ("画面残缺", "damaged picture"),
    "no_picture": ("数据中没有画面", "no picture in the data"),
    "access_unit_size": ("画面数据过大或为空", "picture data too large or empty"),
    "crash": ("解码器崩溃", "the decoder crashed"),
    "hung": ("解码器无响应", "the decoder hung"),
    "invalid_json": ("不是有效的 JSON", "invalid JSON"),
    "senml": ("不合 SenML", "not SenML"),
    "mapping": ("载荷缺少字段", "fields are missing"),
    "not_a_number": ("不是有限的数", "not a number"),
    "unit": ("单位不符", "unit does not fit"),
    "out_of_range": ("数值不可能", "impossible value"),
    "retained": ("保留消息", "retained message"),
    "too_old": ("消息过旧", "message too old"),
    "sdp": ("SDP 无效", "session description unusable"),
    "no_video": ("没有视频轨", "no video track"),
    "unsupported_codec": ("编码不支持", "codec not supported"),
    "redirect": ("重定向地址无效", "redirected to nowhere"),
    "redirect_loop": ("重定向过多", "redirected too often"),
    "message_too_large": ("应答过长", "message too large"),
    "url": ("地址无效", "URL not usable"),
    "password_in_url": ("地址含密码", "password in the URL"),
    "status_453": ("会话数已满 (453)", "no session free (453)"),
    "status_503": ("服务不可用 (503)", "service unavailable (503)"),
    "rtcp_bye": ("摄像机结束码流", "RTCP BYE from the camera"),
    "server_teardown": ("服务器结束会话", "session ended by the server"),
    "session_gone": ("会话已失效", "the server forgot the session"),
    "session_timed_out": ("会话超时", "session timed out"),
    "keep_alive_fatal": ("心跳使会话结束", "ended at our keep-alive"),
    "rtsp_policy_off": ("兼容策略已停用", "an RTSP policy is switched off"),
    "stream_changed": ("编码中途改变", "codec changed in mid-stream"),
    "media_child_lost": ("读取进程已重启", "its reader was begun anew"),
    "media_crash": ("使读取进程崩溃", "crashed its reader"),
    "media_hung": ("使读取进程卡死", "hung its reader"),
    "media_quarantined": ("暂停读取", "left alone"),
    "media_pool_full": ("媒体源已达上限", "no place for more FFmpeg sources"),
    "not_visible": ("画面看不到该处", "not in the picture"),
    "unknown_zone": ("未知的区域", "unknown zone"),
    "quarantined": ("已隔离", "left alone"),
    "late": ("超时未答", "too late"),
    "limit": ("已达上限", "limit reached"),
    "codec": ("编码不支持", "codec not supported"),
    "resting": ("刚看过, 稍后再看", "looked at just before"),
    "udp_ports_exhausted": ("UDP 端口已用尽", "all UDP ports are in use"),
    "unknown_rtsp_policy": ("RTSP 策略名无效", "no such RTSP policy"),
    "transport_refused": ("传输方式不被接受", "transport refused"),
    "bug": ("程序缺陷", "a defect"),
    "recording_empty": ("该时段无录像", "nothing recorded of that time"),
    "recording_cut": ("录像回放中断", "its playback broke off"),
    "recording_slow": ("录像回放过慢", "its playback did not come in time"),
    "recording_untimed": ("录像未注明时刻", "the recording does not say its time"),
    "recording_elsewhere": ("录像为其他时段", "another time was played"),
    "no_session": ("平台会话已满, 无法回放", "no free session for a playback"),
    "no_link": ("接入或推理无应答", "intake or inference does not answer"),
    "busy": ("同时告警过多", "too many at once"),
    "unanswered": ("未取得画面", "no pictures were given"),
    "evidence_full": ("证据盘已满", "no space for evidence"),
    "evidence_io": ("证据无法写入", "evidence cannot be written"),
    "evidence_off": ("未启用证据图片", "evidence pictures are off"),
    "bad_span": ("时段无效", "not a valid time"),
    "decoder_lost": ("解码器无法启动", "the decoder does not start"),
    "unknown_filmstrip": ("未要求的胶片", "filmstrip that nobody asked for"),
    "unknown_request": ("未知的请求", "unknown request"),
}


def name_of(table: Mapping[str, Pair], code: str) -> Name:
    """The name of `code`; an unknown code is shown as it is, so that news from a newer process stays readable."""
    zh, en = table.get(code, (code, code))
    return Name(zh, en)


def level_name(level: Level) -> Name:
    """红, 橙, 黄, 蓝: always shown behind the words 内部告警等级."""
    zh, en = LEVELS[level]
    return Name(zh, en)
