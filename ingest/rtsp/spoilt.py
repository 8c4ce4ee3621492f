"""Key pictures that came to nothing, and what to say when none is usable any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ingest.rtsp.depacketize import Depacketizer


class Spoilt(NamedTuple):
    """Totals of a connection: damaged by loss, over the bound, without parameter sets."""

    lost: int = 0
    too_large: int = 0
    without_sets: int = 0

    @classmethod
    def of(cls, depacketizer: Depacketizer) -> Spoilt:
        """The totals now."""
        return cls(
            depacketizer.key_pictures_lost,
            depacketizer.key_pictures_too_large,
            depacketizer.key_pictures_without_sets,
        )

    def explain(self, before: Spoilt, picture_bytes_max: int) -> str:
        """What became of the key pictures since `before`, and the way out."""
        if self.too_large > before.too_large:
            return (
                f"关键帧超过 {picture_bytes_max} 字节 (they are too large); 请降低码率, 或提高 picture_bytes_max "
                "(lower its bit rate, or raise that)"
            )
        if self.without_sets > before.without_sets:
            return "缺少参数集 (no parameter sets came); 请升级固件或改用子码流 (firmware, or its other stream)"
        if self.lost > before.lost:
            return (
                f"{self.lost - before.lost} 个关键帧因丢包损坏 (packets were lost in each); "
                "请检查网络, 或改用 TCP (check the network, or use TCP)"
            )
        return "请缩短摄像机的关键帧间隔 (none came: shorten the camera's key-picture interval)"
