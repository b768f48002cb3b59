"""What becomes of the nodes' clocks in a fault run: walls that are off by hours or years, that
jump, stand still or run at another speed, any of them at once; and one running clock at a time at
half speed, for up to some minutes.

No wall may be of any consequence while log time runs by running clocks. A slow one delays what
expires, until the others find it out and its leader hands over (docs/internals/time.md):
`timed.Slow` keeps the account. What a leader's slow clock has lost may come back as a jump, if it
is lost on the calendar; so while one is slow, and `SETTLE_S` after it, only that node's wall is
wrong, and the others agree. More than that is not promised to be borne."""

from __future__ import annotations

import random
import time

from tests.faults.timed import Slow
from tests.support.clocks import Clocks

HOUR_S, YEAR_S = 3_600.0, 365 * 86_400.0
HALF = 0.5
SETTLE_S = 15.0


class ClockFaults:
    def __init__(self, clocks: Clocks, slow: Slow, nodes: int) -> None:
        self._clocks, self._slow, self._nodes = clocks, slow, nodes
        self._odd: int | None = None  # whose running clock is slow, or was a moment ago
        self._odd_until_s = 0.0

    def some(self, chance: random.Random) -> str:
        if (
            self._odd is not None
            and not self._clocks.runs_slowly()
            and time.monotonic() > self._odd_until_s
        ):
            self._odd = None
        node = chance.randrange(self._nodes) if self._odd is None else self._odd
        kind = chance.choices(
            ["hours", "years", "jump", "speed", "right", "slow"], weights=[25, 10, 20, 15, 15, 15]
        )[0]
        if kind == "hours":
            self._clocks.wall(node, chance.uniform(-12, 12) * HOUR_S)
        elif kind == "years":
            self._clocks.wall(node, chance.uniform(-2, 2) * YEAR_S)
        elif kind == "jump":
            self._clocks.wall(node, chance.uniform(-30, 30))
        elif kind == "speed":
            self._clocks.wall(node, None, chance.choice([0.0, 0.5, 2.0]))
        elif kind == "right":
            self._clocks.wall(node, 0.0)
        else:
            return self._slow_down(node)
        return f"wall of {node}: {kind}"

    def _slow_down(self, node: int) -> str:
        if self._clocks.runs_slowly():
            self._clocks.running(node, 1.0)
            self._slow.set(1.0)
            self._odd_until_s = time.monotonic() + SETTLE_S
            return f"running clock of {node}: right"
        for other in range(self._nodes):
            if other != node:
                self._clocks.wall(other, 0.0)
        self._odd = node
        self._slow.set(HALF)
        self._clocks.running(node, HALF)
        return f"running clock of {node}: half speed"

    def put_right(self) -> None:
        for node in range(self._nodes):
            self._clocks.wall(node, 0.0)
            self._clocks.running(node, 1.0)
        self._slow.set(1.0)
