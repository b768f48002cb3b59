"""The API server of tests/apiserver, and the two programs that judge manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from kind.tools import golang
from kind.tools.settings import cache_root
from kind.tools.store import Store
from tests.apiserver.conftest import namespace, server

__all__ = ["namespace", "server"]


@pytest.fixture(scope="session")
def checks() -> Path:
    """The folder with kubeconform and kube-score; `make manifests-check` builds them."""
    store = Store(cache_root())
    assert golang.has_installed(store, "checks"), "python3 kind/local.py checks"
    return golang.installed(store, "checks")
