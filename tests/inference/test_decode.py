from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Codec
from contracts.instant import SECOND, Instant
from inference.access_unit import Status
from inference.decode import Decoded, Decoder, Fate, Refused
from inference.decode_child import CODECS, NOTE, NOTE_BYTES, REPLY, REQUEST
from runtime.clock import SystemClock
from runtime.quarantine import Quarantine
from tests.inference.pictures import Bgr, at, encode, frame, textured

CLOCK = SystemClock()
PIXELS_MAX = 320 * 240


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(slots=4, pixels_max=PIXELS_MAX, access_unit_max=4_000_000, timeout_s=20.0)
    yield made
    made.close()


def one(decoder: Decoder, data: bytes, codec: Codec = Codec.H264) -> Fate:
    (outcome,) = decoder.decode([frame(data, codec=codec)])
    return outcome


def refusal(outcome: Fate) -> str:
    assert isinstance(outcome, Refused)
    return outcome.reason


def decoded(outcome: Fate) -> Decoded:
    assert isinstance(outcome, Decoded)
    return outcome


@pytest.mark.parametrize("codec", list(Codec))
def test_picture_of_each_codec_comes_back_as_it_was(decoder: Decoder, codec: Codec) -> None:
    scene = textured(320, 192)
    outcome = decoded(one(decoder, encode(scene, codec), codec))
    got = outcome.picture.bgr
    assert got.shape == scene.shape
    sent, came = (cv2.GaussianBlur(each, (0, 0), 3).astype(int) for each in (scene, got))
    assert np.abs(sent - came).mean() < 6


def test_large_picture_comes_back_scaled_down_with_its_shape_kept(decoder: Decoder) -> None:
    outcome = decoded(one(decoder, encode(textured(1280, 720))))
    height, width = outcome.picture.bgr.shape[:2]
    assert width * height <= PIXELS_MAX
    assert width / height == pytest.approx(1280 / 720, rel=0.02)


def test_batch_keeps_order_and_slots_return_on_release(decoder: Decoder) -> None:
    scenes = [np.full((96, 160, 3), grey, np.uint8) for grey in (40, 120, 200)]
    frames = [frame(encode(scene), f"c{index}") for index, scene in enumerate(scenes)]
    outcomes = [decoded(each) for each in decoder.decode(frames)]
    assert [each.header.source_id for each in outcomes] == ["c0", "c1", "c2"]
    assert [round(float(each.picture.bgr.mean()) / 10) for each in outcomes] == [4, 12, 20]
    assert decoder.free == 1
    for each in outcomes:
        decoder.release(each.slot)
    assert decoder.free == 4


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.01, 0.3, 0.6, 0.9])
def test_truncated_h264_is_refused_with_a_reason_and_the_next_picture_decodes(
    decoder: Decoder, keep: float
) -> None:
    data = encode(textured())
    reason = refusal(one(decoder, data[: int(len(data) * keep)]))
    assert reason in {"access_unit_size", "undecodable", "no_picture", "corrupt"}
    assert decoder.free == 4
    assert isinstance(one(decoder, data), Decoded)
    assert decoder.restarts == {}


@settings(max_examples=60)
@given(noise=st.binary(min_size=1, max_size=400), at_share=st.floats(0, 1))
def test_damaged_bytes_never_end_the_child(shared_decoder: Decoder, noise: bytes, at_share: float) -> None:
    data = encode_once()
    place = int(at_share * len(data))
    outcome = one(shared_decoder, data[:place] + noise + data[place + len(noise) :])
    if isinstance(outcome, Decoded):
        shared_decoder.release(outcome.slot)
    assert shared_decoder.restarts == {}
    assert shared_decoder.free == 4


@pytest.fixture(scope="module")
def shared_decoder() -> Iterator[Decoder]:
    made = Decoder(slots=4, pixels_max=PIXELS_MAX, access_unit_max=1_000_000, timeout_s=20.0)
    yield made
    made.close()


_encoded: list[bytes] = []


def encode_once() -> bytes:
    if not _encoded:
        _encoded.append(encode(textured(160, 96)))
    return _encoded[0]


def test_access_unit_over_the_bound_is_refused(shared_decoder: Decoder) -> None:
    assert refusal(one(shared_decoder, b"\0" * 1_000_001)) == "access_unit_size"


def test_equal_bytes_have_equal_fingerprints(decoder: Decoder) -> None:
    same = encode(textured(seed=1))
    prints = [decoded(one(decoder, data)).picture.fingerprint for data in (same, same, encode(textured(seed=2)))]
    assert prints[0] == prints[1] != prints[2]


def slow_picture() -> bytes:
    """Takes the child long enough to be caught in the middle of it."""
    noise: Bgr = np.random.default_rng(3).integers(0, 255, (1440, 2560, 3), dtype=np.uint8)
    return encode(noise)


def decode_and_hit(decoder: Decoder, data: bytes, number: int) -> list[Fate]:
    """Decode `data` and an innocent picture behind it, and send a signal to the child while it decodes `data`."""
    warm = decoded(one(decoder, encode_once()))
    decoder.release(warm.slot)
    with ThreadPoolExecutor(1) as pool:
        work: Future[list[Fate]] = pool.submit(
            decoder.decode, [frame(data, "guilty"), frame(encode_once(), "innocent")]
        )
        pid = decoder.child_pid
        assert pid is not None
        while decoder.noted == 0:
            assert not work.done()
            CLOCK.sleep(0.0002)
        os.kill(pid, number)
        return work.result(timeout=40)


def test_child_that_crashes_blames_the_picture_it_was_at_and_the_next_one_decodes(decoder: Decoder) -> None:
    guilty, innocent = decode_and_hit(decoder, slow_picture(), signal.SIGSEGV)
    assert refusal(guilty) == "crash"
    assert decoded(innocent).header.source_id == "innocent"
    assert decoder.restarts == {"crash": 1}
    assert decoder.free == 3


def test_child_killed_by_somebody_is_started_again_and_nobody_is_blamed(decoder: Decoder) -> None:
    guilty, innocent = decode_and_hit(decoder, slow_picture(), signal.SIGKILL)
    assert refusal(guilty) == "killed"
    assert isinstance(innocent, Decoded)
    assert decoder.restarts == {"killed": 1}


def test_child_killed_between_pictures_costs_no_picture(decoder: Decoder) -> None:
    first = decoded(one(decoder, encode_once()))
    assert decoder.child_pid is not None
    os.kill(decoder.child_pid, signal.SIGKILL)
    second = decoded(one(decoder, encode_once()))
    assert np.array_equal(first.picture.bgr, second.picture.bgr)


def test_child_that_hangs_is_ended_and_started_again() -> None:
    decoder = Decoder(slots=4, pixels_max=PIXELS_MAX, access_unit_max=4_000_000, timeout_s=1.0)
    try:
        hung, innocent = decode_and_hit(decoder, slow_picture(), signal.SIGSTOP)
        assert refusal(hung) == "hung"
        assert isinstance(innocent, Decoded)
        assert decoder.restarts == {"hung": 1}
    finally:
        decoder.close()


def test_closed_decoder_leaves_no_child(decoder: Decoder) -> None:
    one(decoder, encode_once())
    pid = decoder.child_pid
    assert pid is not None
    decoder.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


ORPHANED = """
import os, signal, sys
from inference.decode import Decoder
from tests.inference.pictures import encode, frame, textured
decoder = Decoder(slots=2, pixels_max=320 * 240, access_unit_max=1_000_000, timeout_s=20.0)
decoder.decode([frame(encode(textured()))])
print(decoder.child_pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_child_goes_when_its_parent_is_killed() -> None:
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.run(
        [sys.executable, "-c", ORPHANED], cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE, check=False,
    )  # fmt: skip
    assert parent.returncode == -signal.SIGKILL
    child = Path(f"/proc/{int(parent.stdout)}/cmdline")
    while child.exists() and b"decode_child" in child.read_bytes():
        CLOCK.sleep(0.01)


HANGS_IN_NATIVE_CODE = """
import ctypes, sys
from inference import decode_child
decode_child.decode_access_unit = lambda *_: ctypes.PyDLL(None).pause()
decode_child.main(sys.argv[1:])
"""
"""The child with a decoder that never returns and, as native code may, keeps the interpreter's lock."""


@contextmanager
def bare_child(
    program: tuple[str, ...], decode_max_s: float
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket, mmap.mmap]]:
    """A child with one slot, ready for requests; its end of the link and its memory are ours."""
    root = str(Path(__file__).resolve().parents[2])
    ours, theirs = socket.socketpair()
    memory_fd = os.memfd_create("pictures-of-a-test")
    os.ftruncate(memory_fd, NOTE_BYTES + PIXELS_MAX * 3)
    memory = mmap.mmap(memory_fd, NOTE_BYTES + PIXELS_MAX * 3)
    numbers = (theirs.fileno(), memory_fd, 1, PIXELS_MAX * 3, PIXELS_MAX, decode_max_s)
    child = subprocess.Popen(
        [sys.executable, *program, *(str(each) for each in numbers)],
        pass_fds=(theirs.fileno(), memory_fd), cwd=root, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    theirs.close()
    os.close(memory_fd)
    try:
        with ours:
            assert REPLY.unpack(ours.recv(REPLY.size, socket.MSG_WAITALL))[0] == 0
            yield child, ours, memory
    finally:
        child.kill()
        child.wait()


def ask(link: socket.socket, memory: mmap.mmap, number: int) -> None:
    data = encode_once()
    memory[NOTE_BYTES : NOTE_BYTES + len(data)] = data
    link.sendall(REQUEST.pack(number, len(data), 0, CODECS.index(Codec.H264), 0, 0))


def test_parent_gone_while_native_code_hangs_then_the_child_ends_by_its_own_alarm() -> None:
    with bare_child(("-c", HANGS_IN_NATIVE_CODE), 0.5) as (child, link, memory):
        ask(link, memory, 7)
        while NOTE.unpack_from(memory)[0] == 0:
            CLOCK.sleep(0.001)
        link.close()
        assert child.wait(timeout=30) == -signal.SIGALRM


def test_alarm_of_a_decode_is_off_between_pictures() -> None:
    with bare_child(("-m", "inference.decode_child"), 2.0) as (child, link, memory):
        for number in (1, 2):
            ask(link, memory, number)
            assert REPLY.unpack(link.recv(REPLY.size, socket.MSG_WAITALL))[:2] == (number, Status.OK)
            if number == 1:
                with pytest.raises(subprocess.TimeoutExpired):
                    child.wait(timeout=2.5)


def test_alarm_of_a_child_is_above_the_time_out_of_its_parent(decoder: Decoder) -> None:
    one(decoder, encode_once())
    words = Path(f"/proc/{decoder.child_pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert float(words[-1]) > 20.0


def test_second_crash_quarantines_and_time_gives_one_more_try() -> None:
    quarantine = Quarantine(100.0)
    assert not quarantine.crashed("cam", at(0))
    assert not quarantine.holds("cam", at(1))
    assert quarantine.crashed("cam", at(2))
    assert quarantine.holds("cam", at(101.9))
    assert not quarantine.holds("other", at(50))
    assert not quarantine.holds("cam", at(102))
    assert quarantine.crashed("cam", at(103))


def test_crash_is_forgiven_after_many_good_pictures() -> None:
    quarantine = Quarantine(100.0)
    quarantine.crashed("cam", at(0))
    for _ in range(50):
        quarantine.succeeded("cam")
    assert not quarantine.crashed("cam", Instant(at(0) + 60 * SECOND))
