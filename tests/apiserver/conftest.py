"""One API server for the whole run, with the resource and the operator's manifests applied; each
test works in a namespace of its own."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer, running

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        found.install(ROOT / "manifests" / "install.yaml")
        yield found


@pytest.fixture
def namespace(server: ApiServer, request: pytest.FixtureRequest) -> str:
    return server.namespace(own_namespace(request))


def own_namespace(request: pytest.FixtureRequest) -> str:
    """A name that says which test it is, and differs for each of its parameters."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip(
        "-"
    )
    return f"{name}-{zlib.crc32(request.node.name.encode()):08x}"
