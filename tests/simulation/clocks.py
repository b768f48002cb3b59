"""The clocks of a simulated machine: a wall that may be set, stand still or run at any speed, and a
running clock (CLOCK_BOOTTIME) that nobody sets, at a speed of its own, which begins again when the
machine is booted. `World.now` is true time."""

from __future__ import annotations

from typing import Protocol

EPOCH_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
YEAR_2040_MS = 2_208_988_800_000


class TrueTime(Protocol):
    now: float
    """Milliseconds."""


class Clocks:
    def __init__(self, world: TrueTime, rate: float = 1.0) -> None:
        self._world = world
        self._running_ms, self._running_rate, self._running_since = 0.0, rate, world.now
        self.boot = 0
        self.synchronised = False  # what the kernel says of the wall
        self._wall_ms, self._wall_rate, self._wall_since = float(EPOCH_MS), 1.0, 0.0

    def wall_ms(self) -> int:
        return int(self._wall_ms + (self._world.now - self._wall_since) * self._wall_rate)

    def running_ms(self) -> float:
        return self._running_ms + (self._world.now - self._running_since) * self._running_rate

    def set_rate(self, rate: float) -> None:
        """Of the running clock."""
        self._running_ms, self._running_since, self._running_rate = (
            self.running_ms(),
            self._world.now,
            rate,
        )

    @property
    def true_ms(self) -> float:
        return EPOCH_MS + self._world.now

    @property
    def right(self) -> bool:
        return self._wall_rate == 1.0 and abs(self.wall_ms() - self.true_ms) < 100

    def set_wall(self, to_ms: float | None = None, rate: float = 1.0) -> None:
        """`to_ms`: None leaves it where it is."""
        self._wall_ms = self.wall_ms() if to_ms is None else to_ms
        self._wall_rate, self._wall_since = rate, self._world.now

    def put_right(self) -> None:
        self.set_wall(self.true_ms)

    def reboot(self) -> None:
        self.boot += 1
        self._running_ms, self._running_since = 0.0, self._world.now
