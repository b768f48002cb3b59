"""Options of every test; and no test runs with compiled modules that do not fit their sources."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

COMPILE = Path(__file__).resolve().parents[1] / "node_image/compile.py"


def pytest_configure(config: pytest.Config) -> None:
    """What a stale module does would be reported as a failure of what its source says."""
    if os.environ.get("COUNTER_PURE"):
        return
    spec = importlib.util.spec_from_file_location("compile_modules", COMPILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if stale := [path.name for path in module.stale()]:
        raise pytest.UsageError(
            f"{', '.join(stale)}: compiled from another source than is there; run make setup"
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="writes the golden files again instead of comparing with them; read the diff",
    )
