"""One cluster of real processes for all stock clients: they share it as strangers do, each with keys of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.devcluster import DevCluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("clients"), 3, "--tick-ms", "50") as running:
        yield running


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)
