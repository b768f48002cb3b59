"""The lane to use: the compiled one, or the one that nothing takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ.get("COUNTER_PURE"):
    from counter_node.fast.pure import COMPILED, Connection, Lane, Sheaf, Syncer
else:
    try:
        from counter_node.fast.lane import COMPILED, Connection, Lane, Sheaf
        from counter_node.fast.syncer import Syncer
    except ImportError:
        from counter_node.fast.pure import COMPILED, Connection, Lane, Sheaf, Syncer

__all__ = ["COMPILED", "Connection", "Lane", "Sheaf", "Syncer"]
