"""RTSP requests in any pieces, and bytes that are none."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RefusedInput
from sim.rtsp_message import BODY_MAX, HEAD_MAX, Request, digest_matches, response, take_request

DESCRIBE = (
    b"DESCRIBE rtsp://h:554/live/%E7%9B%9F?x=1 RTSP/1.0\r\nCSeq: 7\r\nAccept:application/sdp\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)


@given(st.lists(st.integers(0, len(DESCRIBE) * 2), max_size=6))
def test_requests_split_anywhere_are_read_whole(cuts: list[int]) -> None:
    data = DESCRIBE * 2
    buffer = bytearray()
    found = []
    edges = [0, *sorted(cuts), len(data)]
    for begin, end in zip(edges, edges[1:], strict=False):  # noqa: RUF007 - pieces, not pairs of values
        buffer += data[begin:end]
        while (request := take_request(buffer)) is not None:
            found.append(request)
    assert [(r.method, r.path, r.headers["cseq"], r.body) for r in found] == [
        ("DESCRIBE", "/live/盟", "7", b"body")
    ] * 2
    assert not buffer


@given(st.binary(max_size=400))
def test_any_bytes_are_a_request_or_refused_or_wait_for_more(data: bytes) -> None:
    buffer = bytearray(data)
    try:
        request = take_request(buffer)
    except RefusedInput:
        return
    assert request is None or len(buffer) < len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"x" * (HEAD_MAX + 1),
        b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX + 1),
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"OPTIONS rtsp://[::1 RTSP/1.0\r\n\r\n",
    ],
)
def test_what_would_grow_without_bound_or_makes_no_sense_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedInput):
        take_request(bytearray(data))


def test_a_digest_answer_fits_its_own_user_password_nonce_and_method_alone() -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    proof = md5(f"{md5('u:r:p')}:n:{md5('PLAY:rtsp://h/x')}")
    header = f'Digest username="u", realm="r", nonce="n", uri="rtsp://h/x", response="{proof}"'
    request = Request("PLAY", "rtsp://h/x", "/x", {"authorization": header}, b"")
    assert digest_matches(request, "r", "n", {"u": "p"})
    assert not digest_matches(request, "r", "other", {"u": "p"})
    assert not digest_matches(request, "r", "n", {"u": "q"})
    assert not digest_matches(request, "r", "n", {"v": "p"})
    assert not digest_matches(Request("SETUP", "", "/x", {"authorization": header}, b""), "r", "n", {"u": "p"})
    assert not digest_matches(
        Request("PLAY", "", "/x", {"authorization": "Basic dTpw"}, b""), "r", "n", {"u": "p"}
    )


def test_an_answer_names_the_length_of_its_body() -> None:
    assert response(200, "3", {"A": "b"}, b"xy") == (
        b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nServer: gridwhistle-sim\r\nA: b\r\nContent-Length: 2\r\n\r\nxy"
    )
