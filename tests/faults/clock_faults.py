"""What becomes of the nodes' clocks in a fault run: walls that are off by hours or years, that jump, stand still or run
at another speed, any of them at once; and one running clock at a time at half speed, for up to some minutes.

No wall may be of any consequence, as no machine is booted. A slow running clock delays what expires, until the
others find it out and its leader hands over (docs/internals/time.md): `timed.Slow` keeps the account.
"""

from __future__ import annotations

import random

from tests.faults.timed import Slow
from tests.support.clocks import Clocks

HOUR_S, YEAR_S = 3_600.0, 365 * 86_400.0
HALF = 0.5


class ClockFaults:
    def __init__(self, clocks: Clocks, slow: Slow, nodes: int) -> None:
        self._clocks, self._slow, self._nodes = clocks, slow, nodes

    def some(self, chance: random.Random) -> str:
        node = chance.randrange(self._nodes)
        kind = chance.choices(["hours", "years", "jump", "speed", "right", "slow"], weights=[25, 10, 20, 15, 15, 15])[0]
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
        if slow := self._clocks.runs_slowly():
            self._clocks.running(slow[0], 1.0)
            self._slow.set(1.0)
            return f"running clock of {slow[0]}: right"
        self._slow.set(HALF)
        self._clocks.running(node, HALF)
        return f"running clock of {node}: half speed"

    def put_right(self) -> None:
        for node in range(self._nodes):
            self._clocks.wall(node, 0.0)
            self._clocks.running(node, 1.0)
        self._slow.set(1.0)
