from __future__ import annotations

import threading

import pytest

from contracts.errors import SourceUnreachable
from ingest.media.resolve import check_name
from ingest.names import RESOLVERS


@pytest.mark.parametrize(
    "url", ["/a/file.mp4", "file:///a.mp4", "http://10.0.0.1/x.m3u8", "rtsp://[fe80::1%25eth0]/1"]
)
def test_files_and_addresses_need_no_resolver(url: str) -> None:
    released = threading.Event()
    waiting = [RESOLVERS.submit(released.wait) for _ in range(16)]
    check_name(url, 0.2)
    released.set()
    assert all(each.result(5) for each in waiting)


def test_silent_resolver_is_told_within_the_bound_and_speaks_of_dns() -> None:
    released = threading.Event()
    waiting = [RESOLVERS.submit(released.wait) for _ in range(16)]
    try:
        with pytest.raises(SourceUnreachable, match="check DNS") as caught:
            check_name("http://camera.example/live.m3u8", 0.2)
    finally:
        released.set()
        assert all(each.result(5) for each in waiting)
    assert caught.value.reason == "unreachable"


@pytest.mark.parametrize("host", ["nobody.invalid", "cam..county"])
def test_unknown_name_is_a_source_that_cannot_be_reached(host: str) -> None:
    with pytest.raises(SourceUnreachable, match="unknown name"):
        check_name(f"http://{host}/live.m3u8", 20.0)


def test_known_name_passes() -> None:
    check_name("http://localhost/live.m3u8", 5.0)
