from __future__ import annotations

import pytest

from contracts.control import LOOK_WITHIN_S_MAX, look_within_s


@pytest.mark.parametrize(
    ("at_least_s", "key_interval_s", "expected"),
    [
        (6.0, 2.0, 6.0),
        (6.0, 12.0, 18.0),
        (6.0, 60.0, LOOK_WITHIN_S_MAX),
        (45.0, 60.0, 45.0),
    ],
)
def test_look_waits_until_the_next_key_picture_is_due(
    at_least_s: float, key_interval_s: float, expected: float
) -> None:
    assert look_within_s(at_least_s, key_interval_s) == expected
