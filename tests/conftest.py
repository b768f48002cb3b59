"""Options of every test."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="writes the golden files anew instead of comparing with them; read the diff")
