"""How fast a leader's log time runs by a follower's own running clock. Pure.

Every second the follower hears log time, some time after it was read. Of the first and the last
seconds of a window the least delayed count, so that no single late message changes the result.
"""

from __future__ import annotations

from typing import Final

WINDOW_MS: Final = 60_000
EDGE_MS: Final = 6_000


class RateMeter:
    def __init__(self) -> None:
        self.rate_ppm = 0
        """1,000,000: as fast as the own clock. 0: not known yet."""
        self._line: tuple[int, int] | None = None  # term and jumps: what belongs together
        self._began_ms = 0.0
        self._first = self._last = float("inf")  # least of own clock minus log time

    def heard(self, term: int, jumped_ms: int, line_ms: int, running_ms: float) -> None:
        """`line_ms`: log time without its jumps."""
        if (term, jumped_ms) != self._line:
            self._line, self.rate_ppm = (term, jumped_ms), 0
            self._begin(running_ms)
        since = running_ms - self._began_ms
        lag = running_ms - line_ms
        if since < 0 or since >= WINDOW_MS + 2 * EDGE_MS:
            self._begin(running_ms)  # set back, or slept through
        elif since >= WINDOW_MS:
            self._end(running_ms)
        if running_ms - self._began_ms < EDGE_MS:
            self._first = min(self._first, lag)
        elif running_ms - self._began_ms >= WINDOW_MS - EDGE_MS:
            self._last = min(self._last, lag)

    def _begin(self, running_ms: float) -> None:
        self._began_ms = running_ms
        self._first = self._last = float("inf")

    def _end(self, running_ms: float) -> None:
        if self._last < float("inf"):
            apart = WINDOW_MS - EDGE_MS
            self.rate_ppm = max(1, round(1_000_000 * (1 - (self._last - self._first) / apart)))
        self._begin(running_ms)
