"""Words of looks, Chinese and English: for the wall, and for the notes that alerts writes into incidents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.control import LookAnswer, LookOutcome

Pair = tuple[str, str]

LOOK_OUTCOMES: Final[Mapping[str, Pair]] = {
    LookOutcome.SEEN: ("看到目标", "something is there"),
    LookOutcome.NOTHING: ("未见目标", "nothing of it is there"),
    LookOutcome.BLIND: ("看不清", "blind: nothing can be said"),
    LookOutcome.UNANSWERED: ("未能查看", "no answer"),
}

LOOK_REASONS: Final[Mapping[str, Pair]] = {
    "covered": ("画面被遮挡", "the picture is covered"),
    "dark": ("画面过暗", "the picture is dark"),
    "frozen": ("画面冻结", "the picture is frozen"),
    "moved": ("画面移位, 区域不再对应", "the camera was turned, its zones no longer fit"),
    "blurred": ("画面模糊", "the picture is blurred"),
    "undecodable": ("画面无法解码", "the picture does not decode"),
    "quarantined": ("画面曾两次使解码器崩溃, 暂不解码", "its pictures crashed the decoder twice; left alone"),
    "not_live": ("摄像机当前没有画面", "the camera is not live now"),
    "off": ("目录中未启用", "not switched on in the catalogue"),
    "unknown_source": ("推理目录中没有这路摄像机", "inference does not know this camera"),
    "unknown_zone": ("没有这个区域", "this camera has no such zone"),
    "not_visible": ("这类情况从画面上看不出", "no picture can show this kind"),
    "late": ("限时内没有新画面", "no fresh picture came in time"),
    "busy": ("同时查看的人太多, 请稍后再看", "too many looks at once; ask again"),
    "limit": ("同时取全部画面的摄像机已达上限", "too many cameras hand on every picture"),
    "codec": ("编码不支持", "codec not supported"),
    "resting": ("刚看过, 稍后再看", "looked at just before"),
    "no_link": ("推理服务无应答", "inference does not answer"),
    "bug": ("推理服务内部错误", "inference failed by an error of its own"),
    "schema_version": ("推理服务版本不符", "inference speaks another version"),
    "unknown_request": ("推理服务版本过旧, 不支持查看", "this inference cannot look: another release"),
}
"""Why a look saw nothing or was not answered. A table of its own: `busy` and `not_live` mean other things of an
alert or of a source."""

CLASSES: Final[Mapping[str, Pair]] = {
    "person": ("人", "people"),
    "bicycle": ("自行车", "bicycles"),
    "motorcycle": ("摩托车", "motorcycles"),
    "car": ("小型车", "cars"),
    "bus": ("客车", "buses"),
    "truck": ("货车", "trucks"),
    "fire": ("明火", "flames"),
    "smoke": ("烟雾", "smoke"),
}
"""What models find, contracts.class_names."""


def said_zh(answer: LookAnswer) -> str:
    """The answer in one Chinese sentence without an end: what was counted, or why nothing was."""
    outcome = LOOK_OUTCOMES[answer.outcome][0]
    sure = dict(answer.confidence)
    if answer.reason:
        return f"{outcome}: {LOOK_REASONS.get(answer.reason, (answer.reason, ''))[0]}"
    counted = [
        f"{CLASSES.get(name, (name, ''))[0]} {count}"
        + (f" (置信度 {sure[name]:.2f})" if name in ("fire", "smoke") and name in sure else "")
        for name, count in answer.counts
    ]
    return ": ".join(part for part in (outcome, ", ".join(counted)) if part)
