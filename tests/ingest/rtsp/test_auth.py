from __future__ import annotations

import hashlib
import re

import pytest

from ingest.rtsp.auth import Authenticator
from ingest.rtsp.credentials import Credentials

URI = "rtsp://camera/1"


def authenticator() -> Authenticator:
    return Authenticator(Credentials("admin", "right"))


def parts(header: str | None) -> dict[str, str]:
    assert header is not None
    return dict(re.findall(r'(\w+)="?([^",]+)"?', header.removeprefix("Digest ")))


def response(got: dict[str, str], method: str, algorithm: str) -> str:
    """RFC 7616, 3.4.1, written down again."""

    def hashed(text: str) -> str:
        return hashlib.new(algorithm, text.encode()).hexdigest()

    secret = hashed(f"admin:{got['realm']}:right")
    middle = f"{got['nonce']}:{got['nc']}:{got['cnonce']}:{got['qop']}" if "qop" in got else got["nonce"]
    request = hashed(f"{method}:{got['uri']}")
    return hashed(f"{secret}:{middle}:{request}")


def test_answer_without_qop_is_that_of_the_example_of_rfc_2069() -> None:
    """Section 2.4, with the response as erratum 749 puts it right."""
    signing = Authenticator(Credentials("Mufasa", "CircleOfLife"))
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    assert signing.challenge([f'Digest realm="testrealm@host.com", nonce="{nonce}", opaque="5ccc"'])
    got = parts(signing.header("GET", "/dir/index.html"))
    assert got["response"] == "1949323746fe6a43ef61f9606e7febea"
    assert "qop" not in got
    assert "cnonce" not in got


@pytest.mark.parametrize(("name", "algorithm"), [("", "md5"), ("MD5", "md5"), ("SHA-256", "sha256")])
@pytest.mark.parametrize("qop", ["", "auth", "auth-int,auth"])
def test_answer_is_right_for_each_algorithm_with_and_without_qop(name: str, algorithm: str, qop: str) -> None:
    signing = authenticator()
    offer = 'Digest realm="cam", nonce="n0"'
    offer += f", algorithm={name}" if name else ""
    assert signing.challenge([offer + (f', qop="{qop}"' if qop else "")])
    first, second = (parts(signing.header(method, URI)) for method in ("DESCRIBE", "SETUP"))
    assert first["response"] == response(first, "DESCRIBE", algorithm)
    assert second["response"] == response(second, "SETUP", algorithm)
    assert first["uri"] == URI
    if qop:
        assert (first["qop"], first["nc"], second["nc"]) == ("auth", "00000001", "00000002")
    else:
        assert "nc" not in first


def test_strongest_offer_that_is_understood_is_taken() -> None:
    signing = authenticator()
    weak, strong = 'Digest realm="cam", nonce="a"', 'Digest realm="cam", nonce="b", algorithm=SHA-256'
    unknown = 'Digest realm="cam", nonce="c", algorithm=WHIRLPOOL'
    assert signing.challenge(['Basic realm="cam"', weak, strong, unknown])
    assert parts(signing.header("PLAY", URI))["nonce"] == "b"


def test_integrity_alone_is_not_understood() -> None:
    assert not authenticator().challenge(['Digest realm="cam", nonce="n0", qop="auth-int"'])


def test_same_challenge_again_means_a_wrong_password() -> None:
    signing = authenticator()
    assert signing.challenge(['Digest realm="cam", nonce="n0"'])
    assert not signing.challenge(['Digest realm="cam", nonce="n1"'])


def test_stale_nonce_is_renewed_with_a_count_that_begins_anew() -> None:
    signing = authenticator()
    assert signing.challenge(['Digest realm="cam", nonce="n0", qop="auth"'])
    assert parts(signing.header("DESCRIBE", URI))["nc"] == "00000001"
    assert signing.challenge(['Digest realm="cam", nonce="n1", qop="auth", stale=TRUE']), (
        "though not accepted before"
    )
    got = parts(signing.header("DESCRIBE", URI))
    assert (got["nonce"], got["nc"]) == ("n1", "00000001")
    assert got["response"] == response(got, "DESCRIBE", "md5")


def test_nonce_that_was_accepted_is_renewed_once_without_a_word_of_stale() -> None:
    signing = authenticator()
    assert signing.challenge(['Digest realm="cam", nonce="n0"'])
    signing.accepted()
    assert signing.challenge(['Digest realm="cam", nonce="n1"'])
    assert not signing.challenge(['Digest realm="cam", nonce="n2"'])
