"""Who has the role view, edit or admin of a namespace may do this with CounterClusters, and nothing
more: the API server's own controller adds the rules to those roles, its authorizer answers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.apiserver import ApiServer, running

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
RESOURCES = ("counterclusters", "counterclusters/scale", "counterclusters/status")
READ = {
    *itertools.product(RESOURCES, ("get",)), *itertools.product(RESOURCES[:1], ("list", "watch")),
}  # fmt: skip
WRITE = {
    *itertools.product(RESOURCES[:1], VERBS[3:]),
    *itertools.product(RESOURCES[1:2], ("update", "patch")),
}
AGGREGATED_S = 60


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server whose roles are aggregated, with a user bound to each of three in `shop`."""
    controllers = ("clusterrole-aggregation-controller",)
    with running(tmp_path_factory.mktemp("apiserver"), controllers) as server:
        for document in yaml.safe_load_all((MANIFESTS / "roles.yaml").read_text()):
            server.apply(document).ok()
        server.namespace("shop")
        for role in ("view", "edit", "admin"):
            binding = {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": role, "namespace": "shop"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role
                },
                "subjects": [
                    {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{role}er"}
                ],
            }  # fmt: skip
            server.apply(binding).ok()
        yield server


def may(server: ApiServer, user: str, namespace: str, resource: str, verb: str) -> bool:
    name, _, subresource = resource.partition("/")
    attributes = {
        "namespace": namespace, "verb": verb, "group": "countercluster.io", "resource": name,
        "subresource": subresource,
    }  # fmt: skip
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(server.request("POST", path, review).ok()["status"]["allowed"])


def granted(server: ApiServer, user: str, namespace: str) -> set[tuple[str, str]]:
    everything = itertools.product(RESOURCES, VERBS)
    return {(r, v) for r, v in everything if may(server, user, namespace, r, v)}


@pytest.mark.parametrize(
    ("role", "wanted"), [("view", READ), ("edit", READ | WRITE), ("admin", READ | WRITE)]
)
def test_a_role_of_the_cluster_says_what_its_people_may_do_with_counterclusters(
    people: ApiServer, role: str, wanted: set[tuple[str, str]]
) -> None:
    deadline = time.monotonic() + AGGREGATED_S
    while (found := granted(people, f"{role}er", "shop")) != wanted:
        assert time.monotonic() < deadline, (found - wanted, wanted - found)
        time.sleep(0.3)
    assert granted(people, f"{role}er", "default") == set()


def test_who_has_none_of_them_may_nothing(people: ApiServer) -> None:
    assert granted(people, "stranger", "shop") == set()


def test_no_rule_reaches_beyond_counterclusters() -> None:
    for document in yaml.safe_load_all((MANIFESTS / "roles.yaml").read_text()):
        for rule in document["rules"]:
            assert rule["apiGroups"] == ["countercluster.io"]
            assert set(rule["resources"]) <= set(RESOURCES)
            assert set(rule["verbs"]) <= set(VERBS)
