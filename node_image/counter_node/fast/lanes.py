"""The lane to use: the compiled one, or the one that nothing takes (counter_node/compiled.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from counter_node.compiled import compiled

_lane, _syncer = compiled("lane"), compiled("syncer")
if TYPE_CHECKING or _lane is None or _syncer is None:
    from counter_node.fast.pure import COMPILED, Lane, LaneBatch, LaneEntry, Syncer, Wire
else:
    from counter_node.fast.lane import COMPILED, Lane, LaneBatch, LaneEntry, Wire
    from counter_node.fast.syncer import Syncer

__all__ = ["COMPILED", "Lane", "LaneBatch", "LaneEntry", "Syncer", "Wire"]
