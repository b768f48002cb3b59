"""A CounterCluster is deleted with `--cascade=orphan`, at rest and in the middle of a pass, and
applied again: the real garbage collector, and an API server that enforces permissions on owner
references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver.world import Object, World, world

pytestmark = pytest.mark.timeout(600)
ORPHAN = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}
SECURED: Object = {"tls": {}, "auth": {}}
KINDS = (
    "/api/v1/namespaces/{}/secrets",
    "/api/v1/namespaces/{}/services",
    "/api/v1/namespaces/{}/configmaps",
    "/api/v1/namespaces/{}/serviceaccounts",
    "/api/v1/namespaces/{}/persistentvolumeclaims",
    "/apis/apps/v1/namespaces/{}/statefulsets",
    "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as found:
        yield found


def uids(here: World, space: str) -> dict[str, str]:
    found = here.server.get(f"/api/v1/namespaces/{space}/pods")["items"]
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in found}


def owners(here: World, space: str) -> dict[str, list[str]]:
    """Of each child, the UIDs of its owners."""
    return {
        f"{path.rpartition('/')[2]} {item['metadata']['name']}": [
            owner["uid"] for owner in item["metadata"].get("ownerReferences", [])
        ]
        for path in KINDS
        for item in here.server.get(path.format(space))["items"]
        if "c" in item["metadata"]["name"].split("-")
    }


def orphan(here: World, space: str) -> None:
    here.server.request("DELETE", here.path(space, "c"), ORPHAN).ok()
    path = here.path(space, "c")
    here.wait("it is gone", lambda: here.server.request("GET", path).status == 404)


def test_every_child_stays_and_is_taken_over_by_the_next_of_the_name(here: World) -> None:
    space = here.server.namespace("orphaned")
    with here.operator() as operator:
        here.cluster(space, "c", **SECURED)
        here.wait_ready(space, "c")
        pods, children = uids(here, space), set(owners(here, space))
        secret = here.server.get(f"/api/v1/namespaces/{space}/secrets/c-client")["data"]
        for number in range(4):
            if number:  # in the middle of a pass that applies the children
                here.edit(space, "c", monitoring={"enabled": bool(number % 2)})
                here.edit(
                    space,
                    "c",
                    network={"clients": [{"podSelector": {"matchLabels": {"n": str(number)}}}]},
                )
            orphan(here, space)
            here.cluster(space, "c", **SECURED)
            here.wait_ready(space, "c")
            uid = here.get(space, "c")["metadata"]["uid"]
            here.wait(
                "each child has the new owner",
                lambda: all(found == [uid] for found in owners(here, space).values()),  # noqa: B023
                60,
            )
            assert uids(here, space) == pods, "no member was restarted"
            assert set(owners(here, space)) >= children
        now = here.server.get(f"/api/v1/namespaces/{space}/secrets/c-client")["data"]
        assert now == secret, "the same password and the same authority"
        assert operator.complaints() == []
