"""Every breakage, by its name. A module holds those of one room.

`MUTATION=name` in the environment breaks a whole pytest run (tests/mutations/plugin.py); the
simulator's are switched on in the process."""

from __future__ import annotations

from tests.mutations.breakage import CATALOGUE
from tests.mutations.catalogue import (
    archive,
    counters,
    log_time,
    node,
    operator,
    raft,
    script,
    scripts,
    security,
    storage,
)

__all__ = [
    "CATALOGUE", "archive", "counters", "log_time", "node", "operator", "raft", "script",
    "scripts", "security", "storage",
]  # fmt: skip
