"""Recorded files as cameras: H.264 is handed on byte by byte, the rest transcoded; time has no break."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from contracts.errors import ConfigError
from sim.footage import FootageReader, access_units, playable


def write_video(path: Path, codec: str, *, pictures: int = 20, options: dict[str, str] | None = None) -> Path:
    """A file of grey pictures, 10 a second; picture i has the grey value 5 * i, modulo 250."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.time_base = Fraction(1, 10)
        for number in range(pictures):
            picture = np.full((120, 160, 3), 5 * number % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


PLAIN = {"bf": "0", "g": "10", "preset": "ultrafast"}


def greys(units: list[bytes]) -> list[int]:
    decoder = av.VideoCodecContext.create("h264", "r")
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit))]
    frames += decoder.decode(None)
    return [int(frame.to_ndarray(format="gray").mean()) for frame in frames]


def take(reader: FootageReader, count: int) -> list[tuple[float, bytes, bool]]:
    found = []
    for _ in range(count):
        due_s = reader.due_s
        data, key = reader.take()
        found.append((due_s, data, key))
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_file_begins_again_with_a_key_picture_and_time_goes_on(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a{suffix}", "libx264", options=PLAIN)
    units = take(FootageReader(path, first_s=3.0), 50)
    times = [due_s for due_s, _, _ in units]
    assert times[0] == 3.0
    assert all(later - earlier == pytest.approx(0.1, abs=0.002) for earlier, later in itertools.pairwise(times))
    assert [i for i, (_, _, key) in enumerate(units) if key] == [0, 10, 20, 30, 40]
    assert units[20][1] == units[0][1]
    seen = greys([data for _, data, _ in units])
    assert len(seen) == 50
    assert seen[20:40] == seen[:20]


def test_every_key_picture_carries_its_parameter_sets(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "libx264", options=PLAIN)
    for _, data, key in access_units(path):
        assert data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01"))
        assert (b"\x00\x00\x01\x67" in data) == key


def test_a_late_file_goes_on_with_the_next_key_picture(tmp_path: Path) -> None:
    reader = FootageReader(write_video(tmp_path / "a.mp4", "libx264", options=PLAIN))
    reader.take()
    reader.catch_up(0.25)
    assert reader.due_s == pytest.approx(1.0)
    _, key = reader.take()
    assert key


def test_h264_is_played_as_it_is_and_other_codecs_are_transcoded_once(tmp_path: Path) -> None:
    folder, cache = tmp_path / "in", tmp_path / "cache"
    folder.mkdir()
    plain = write_video(folder / "b.mp4", "libx264", options=PLAIN)
    write_video(folder / "a.avi", "mpeg4")
    (folder / "notes.txt").write_text("no video")
    told: list[tuple[str, float]] = []
    first, second = playable(folder, cache, lambda path, share: told.append((path.name, share)))
    assert second == plain
    assert first.parent == cache
    assert {name for name, _ in told} == {"a.avi"}
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    units = [data for _, data, _ in access_units(first)]
    seen = greys(units)
    assert len(seen) == 20
    assert all(abs(grey - 5 * i) <= 6 for i, grey in enumerate(seen))
    told.clear()
    assert playable(folder, cache, lambda path, share: told.append((path.name, share))) == [first, second]
    assert told == []


def test_a_file_with_b_pictures_is_transcoded_since_cameras_send_none(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "a.mp4", "libx264", options={"bf": "2", "g": "10"})
    [path] = playable(folder, tmp_path / "cache", lambda _path, _share: None)
    times = [at_s for at_s, _, _ in access_units(path)]
    assert path.parent == tmp_path / "cache"
    assert times == sorted(times)
    assert len(times) == 20


@pytest.mark.parametrize(
    ("pictures", "options", "keys_s"),
    [
        (15, PLAIN | {"g": "100"}, [0.0, 0.5, 1.0]),
        (60, PLAIN | {"g": "30"}, [0.0, 2.0, 4.0]),
    ],
    ids=["single-key-picture", "every-3-s"],
)
def test_a_clip_with_key_pictures_too_seldom_is_transcoded_and_nothing_else_of_it_varies(
    tmp_path: Path, pictures: int, options: dict[str, str], keys_s: list[float]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "a.mp4", "libx264", pictures=pictures, options=options)
    [path] = playable(folder, tmp_path / "cache", lambda _path, _share: None)
    assert path.parent == tmp_path / "cache"
    units = list(access_units(path))
    assert [at_s for at_s, _, key in units if key] == pytest.approx(keys_s, abs=0.01)
    assert [at_s for at_s, _, _ in units] == pytest.approx([n / 10 for n in range(pictures)], abs=0.01)
    played = take(FootageReader(path), 3 * pictures)
    keys = [data for _, data, key in played if key]
    assert all(one != other for one, other in itertools.pairwise(keys))


def test_a_folder_without_video_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no video file"):
        playable(tmp_path, tmp_path / "cache", lambda _path, _share: None)
    with pytest.raises(ConfigError, match="holds no video file"):
        playable(tmp_path / "absent", tmp_path / "cache", lambda _path, _share: None)


def test_a_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\x00" * 4000)
    with pytest.raises(ConfigError, match=r"broken\.mp4"):
        playable(tmp_path, tmp_path / "cache", lambda _path, _share: None)
