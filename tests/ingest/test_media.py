from __future__ import annotations

from pathlib import Path

import av
import pytest

from contracts.errors import ConfigError, GridwhistleError, ProtocolViolation, SourceMissing, SourceUnreachable
from ingest.media.demux import MediaSource, key_pictures
from ingest.rtsp.credentials import Credentials
from tests.ingest.test_probe import recording


def decodes(data: bytes, codec: str = "h264") -> bool:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    return len([*decoder.decode(av.Packet(data)), *decoder.decode(None)]) == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv", "a.h264"])
def test_every_key_picture_of_a_recording_decodes_alone(tmp_path: Path, name: str) -> None:
    found = list(key_pictures(str(recording(tmp_path / name))))
    assert len(found) == 4
    assert all(decodes(each.data) for each in found)
    assert [each.dropped_pictures for each in found] == [0, 24, 24, 24]
    assert all(each.dropped_bytes > 0 for each in found[1:])


def test_motion_jpeg_is_all_key_pictures(tmp_path: Path) -> None:
    found = list(key_pictures(str(recording(tmp_path / "a.avi", seconds=1, codec="mjpeg"))))
    assert len(found) == 25
    assert found[0].data[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("content", "kind"), [(b"", GridwhistleError), (b"no video\n" * 900, ProtocolViolation), (None, SourceMissing)]
)
def test_file_without_video_is_refused(
    tmp_path: Path, content: bytes | None, kind: type[GridwhistleError]
) -> None:
    file = tmp_path / "x.mp4"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(kind):
        list(key_pictures(str(file)))


def test_truncated_recording_gives_what_is_whole(tmp_path: Path) -> None:
    whole = recording(tmp_path / "a.ts").read_bytes()
    (tmp_path / "b.ts").write_bytes(whole[: len(whole) // 2])
    found = list(key_pictures(str(tmp_path / "b.ts")))
    assert 1 <= len(found) < 4


def test_picture_over_the_bound_is_left_out(tmp_path: Path) -> None:
    file = str(recording(tmp_path / "a.mp4"))
    source = MediaSource(file, picture_bytes_max=100)
    assert list(source.key_pictures()) == []
    assert source.refused_too_large == 4
    source.close()


@pytest.mark.parametrize("url", ["concat:a|b", "subfile://x", "pipe://0", "rtsp://u:p@127.0.0.1/x", "srt://x"])
def test_other_protocols_and_passwords_are_refused(url: str) -> None:
    with pytest.raises((ConfigError, SourceMissing)) as caught:
        MediaSource(url)
    assert ":p@" not in str(caught.value)


def test_unreachable_source_does_not_repeat_its_password() -> None:
    with pytest.raises(SourceUnreachable) as caught:
        MediaSource("rtsp://127.0.0.1:9/x", credentials=Credentials("u", "hidden"), udp=True, open_s=2, read_s=2)
    assert "hidden" not in str(caught.value)
