"""How long a camera waits after a failure before it asks for a connection again."""

from __future__ import annotations

from runtime.supervise import Backoff


class PatientBackoff(Backoff):
    """Back-off that waits long after a refusal: asking again and again may lock an account."""

    def __init__(self, first_s: float, max_s: float, seed: str, refused_s: float) -> None:
        super().__init__(first_s, max_s, seed)
        self._refused_s = refused_s
        self.refused = False

    def failed(self) -> float:
        """Seconds to wait before the next attempt."""
        delay_s = super().failed()
        return self._refused_s * (0.75 + 0.5 * (delay_s / (delay_s + 1.0))) if self.refused else delay_s
