"""Names are looked up with a bound before FFmpeg does it: within FFmpeg a silent resolver cannot be interrupted,
and looks like a reader that hangs, which costs all sources of the same process."""

from __future__ import annotations

from concurrent.futures import TimeoutError as TooLate
from urllib.parse import urlsplit

from contracts.errors import SourceUnreachable
from ingest.names import is_address, look_up


def check_name(url: str, within_s: float) -> None:
    """Raises SourceUnreachable when the host of a URL is a name that nobody knows, or that is not told in time."""
    host = urlsplit(url).hostname if "://" in url else None
    if not host or is_address(host):
        return
    try:
        look_up(host).result(within_s)
    except TooLate:
        raise SourceUnreachable(
            f"{within_s:g} 秒内主机名 {host} 未解析 (its name was not resolved in time); 请检查 DNS (check DNS)",
            reason="unreachable",
        ) from None
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "无效 (no valid name)"
        raise SourceUnreachable(
            f"主机名 {host} 无法解析 (unknown name): {cause}; 请检查地址与 DNS (check them)", reason="unreachable"
        ) from None
