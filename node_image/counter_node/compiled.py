"""Which modules run compiled: the one place that asks `COUNTER_PURE`.

What may be compiled has a twin in Python that does the same (fast/). The pure rooms ask here, and
know neither the environment nor whether anything was compiled."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

PURE = bool(os.environ.get("COUNTER_PURE"))


def compiled(name: str) -> ModuleType | None:
    """The module of `counter_node.fast`. None: its twin is to be used, as `COUNTER_PURE` is set, or
    as nothing was compiled."""
    if PURE:
        return None
    try:
        return importlib.import_module(f"counter_node.fast.{name}")
    except ImportError:
        return None
