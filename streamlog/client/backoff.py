"""Waiting longer after each failure, with jitter, so that clients do not return in step."""

from __future__ import annotations

from dataclasses import dataclass

from streamlog.client.transport import Random


@dataclass(slots=True)
class Backoff:
    """Exponential backoff: `first_ms`, doubled at each failure up to `limit_ms`, ± 25 %."""

    first_ms: float
    limit_ms: float
    random: Random
    failures: int = 0

    def next_ms(self) -> float:
        """How long to wait after one more failure."""
        wait_ms = min(self.limit_ms, self.first_ms * float(1 << min(self.failures, 30)))
        self.failures += 1
        return wait_ms * (0.75 + self.random.random() / 2)

    def reset(self) -> None:
        """Something worked: begin again."""
        self.failures = 0
