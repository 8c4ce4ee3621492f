"""What the long measurements tell people meanwhile, on standard error."""

from __future__ import annotations

import sys


def tell(line: str) -> None:
    """One line."""
    print(line, file=sys.stderr, flush=True)
