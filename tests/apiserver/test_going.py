"""CounterClusters and namespaces that go away while the operator works on them, with a real API
server: nothing has failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.apiserver.world import API, World, world
from tests.support.api_requests import Answer
from tests.support.apiserver import ApiServer

SERVICE = "/api/v1/namespaces/{}/services/c"
POLICY = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies/c"
BUDGET = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets/c"
pytestmark = pytest.mark.timeout(600)
NOISE = ("warning", "error", "critical")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as found:
        yield found


def gone(server: ApiServer, path: str) -> bool:
    return server.request("GET", path).status == 404


def test_namespaces_that_go_while_their_clusters_are_made_and_used_leave_no_word_in_the_log(
    here: World,
) -> None:
    """Each at another moment: before its first child, while it forms, when it is ready."""
    with here.operator() as operator:
        spaces = [here.server.namespace(f"going-{n}") for n in range(4)]
        here.cluster(spaces[0], "c")
        here.wait_ready(spaces[0], "c")
        for n, space in enumerate(spaces[1:], 1):
            before = len(here.writes())
            here.cluster(space, "c", replicas=1)
            here.wait("the operator has begun", lambda: len(here.writes()) >= before + 2 * n)  # noqa: B023
            here.server.request("DELETE", f"/api/v1/namespaces/{space}").ok()
        here.server.request("DELETE", f"/api/v1/namespaces/{spaces[0]}").ok()
        for space in spaces:
            here.wait(
                f"{space} is gone",
                lambda: gone(here.server, f"/api/v1/namespaces/{space}"),  # noqa: B023
                120,
            )
        last = here.server.namespace("going-last")
        here.cluster(last, "c", replicas=1)
        here.wait_ready(
            last, "c"
        )  # what was put off is done by now, or waits for a failed pass that there must not be
        assert operator.metric(r'countercluster_operator_reconciles_total\{result="error"\}') == 0.0
        assert [line for line in operator.lines() if line["level"] in NOISE] == []


def test_a_cluster_that_is_deleted_and_made_again_at_once_begins_with_a_status_of_its_own(
    here: World,
) -> None:
    space = here.server.namespace("again")
    with here.operator() as operator:
        for _ in range(3):
            here.cluster(space, "c", replicas=1)
            here.wait("it is seen", lambda: bool(here.get(space, "c").get("status")))
            here.server.request("DELETE", here.path(space, "c")).ok()
        here.wait("it is gone", lambda: gone(here.server, here.path(space, "c")))
        here.wait(
            "its volumes are gone",
            lambda: (
                not here.server.get(f"/api/v1/namespaces/{space}/persistentvolumeclaims")["items"]
            ),
        )
        here.cluster(space, "c", replicas=1)
        here.wait_ready(space, "c")
        assert not [line for line in operator.lines() if line["msg"].startswith("pass failed")]


def test_the_api_server_refuses_a_status_that_is_meant_for_another_object(
    server: ApiServer, namespace: str
) -> None:
    """What the operator relies on, and what its unit tests take for granted."""
    meta: dict[str, Any] = {"name": "c", "namespace": namespace}
    first = server.apply(
        {"apiVersion": API, "kind": "CounterCluster", "metadata": meta, "spec": {}}
    ).ok()
    read = {**meta, "resourceVersion": first["metadata"]["resourceVersion"]}
    status = {
        "apiVersion": API,
        "kind": "CounterCluster",
        "metadata": read,
        "status": {"step": "words"},
    }
    path = f"/apis/{API}/namespaces/{namespace}/counterclusters/c"

    def apply_status() -> Answer:
        how = {"content_type": "application/apply-patch+yaml", "fieldManager": "t", "force": "true"}
        return server.request("PATCH", f"{path}/status", status, **how)

    assert apply_status().ok()["status"]["step"] == "words"
    server.request("DELETE", path).ok()
    assert apply_status().status in (404, 409)
    server.apply({"apiVersion": API, "kind": "CounterCluster", "metadata": meta, "spec": {}}).ok()
    assert apply_status().status == 409
    assert "status" not in server.get(path)


def test_ready_is_never_false_while_children_are_applied_again(here: World) -> None:
    """A watch misses no version, however short it is there."""
    space = here.server.namespace("steady")
    with here.operator():
        here.cluster(space, "c")
        here.wait_ready(space, "c")
        shown: list[tuple[str, str]] = []
        stop = threading.Event()

        def look() -> None:
            for body in here.server.watch(here.path(space, "").rstrip("/"), stop):
                condition = next(
                    (
                        c
                        for c in body.get("status", {}).get("conditions", [])
                        if c["type"] == "Ready"
                    ),
                    {},
                )
                shown.append((condition.get("status", ""), condition.get("message", "")))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            for path in (SERVICE, POLICY, BUDGET):
                old = here.server.get(path.format(space))["metadata"]["uid"]
                here.server.request("DELETE", path.format(space)).ok()
                here.wait(
                    "it is made again",
                    lambda: made_again(here.server, path.format(space), old),  # noqa: B023
                )
            here.edit(space, "c", monitoring={"enabled": True})
            here.wait_ready(space, "c")
        finally:
            stop.set()
            watcher.join()
        assert shown
        assert [message for status, message in shown if status != "True"] == []


def made_again(server: ApiServer, path: str, old: str) -> bool:
    answer = server.request("GET", path)
    return answer.status == 200 and answer.ok()["metadata"]["uid"] != old
