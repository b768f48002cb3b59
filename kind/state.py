"""What this program remembers between runs: how it makes images, which cluster it made, which
routes it added."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class State:
    """`cluster` is the key of the cluster that was created and found healthy; empty while there is
    none."""

    pull: bool | None = None
    cluster: str = ""
    routes: tuple[str, ...] = field(default_factory=tuple)


def read(root: Path) -> State:
    """The remembered state; the empty one where there is none or it cannot be read."""
    try:
        found = json.loads((root / "state.json").read_text())
        known: dict[str, Any] = {f.name: found[f.name] for f in fields(State) if f.name in found}
        state = State(**known)
        return replace(state, routes=tuple(state.routes))
    except (OSError, ValueError, TypeError):
        return State()


def update(root: Path, **changes: Any) -> State:
    """Changes what is named and keeps the rest."""
    state = replace(read(root), **changes)
    new = root / "state.new"
    new.write_text(json.dumps(asdict(state)))
    new.rename(root / "state.json")
    return state
