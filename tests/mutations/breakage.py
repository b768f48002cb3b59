"""What a breakage is. Each is a function that puts something wrong in place of something right, by
the `patch` it is given, and enters the catalogue by its decorator."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

Patch = Callable[[object, str, Any], None]
"""As monkeypatch.setattr: object, attribute, value."""
Apply = Callable[[Patch], None]


@dataclasses.dataclass(frozen=True)
class Mutation:
    name: str
    breaks: str
    apply: Apply
    plans: tuple[str, ...] = ("everything",)
    """Of the simulator; empty: found by `tests`."""
    tests: tuple[str, ...] = ()
    quick: bool = False
    """Also in `make sim`, hence in `make test`."""


CATALOGUE: dict[str, Mutation] = {}


def mutation(
    breaks: str, *plans: str, tests: tuple[str, ...] = (), quick: bool = False
) -> Callable[[Apply], Apply]:
    def keep(apply: Apply) -> Apply:
        name = apply.__name__.replace("_", "-")
        CATALOGUE[name] = Mutation(
            name, breaks, apply, plans or (() if tests else ("everything",)), tests, quick
        )
        return apply

    return keep
