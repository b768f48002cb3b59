"""One cluster of real processes for all stock clients: they share it as strangers do, each with
keys of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.devcluster import DevCluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("clients"), 3, "--tick-ms", "50") as running:
        yield running


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """The name of the test, without what a pattern of SCAN would take for its own."""
    return re.sub(r"\W+", "-", str(request.node.name))


@pytest.fixture(params=["leader", "follower"])
def node(request: pytest.FixtureRequest, cluster: DevCluster) -> int:
    """Number of a node of that role: whatever a client does must work through both."""
    leader = cluster.leader()
    return leader if request.param == "leader" else (leader + 1) % cluster.size
