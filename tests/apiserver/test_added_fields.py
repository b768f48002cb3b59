"""What others add to the children when they are admitted (a LimitRange, a policy that mutates) is
theirs: it stays, and nothing is applied over and over."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.apiserver.conftest import own_namespace
from tests.apiserver.world import Object, World, world
from tests.support.operators import Operator

REST_S = 8.0
GROUP = "admissionregistration.k8s.io"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("added")) as found:
        yield found


@pytest.fixture(scope="module")
def operator(here: World) -> Iterator[Operator]:
    with here.operator().kept() as found:
        yield found


def mutate(here: World, namespace: str) -> None:
    """Adds a label to whatever is written there, each time."""
    here.server.merge(
        f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"mutate": "yes"}}}
    ).ok()
    rule: Object = {
        "apiGroups": ["", "apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
    }
    rule["resources"] = ["services", "secrets", "serviceaccounts", "statefulsets", "deployments"]
    label = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": 'Object{metadata: Object.metadata{labels: {"cost-centre": "shop"}}}'
        },
    }
    selector = {"namespaceSelector": {"matchLabels": {"mutate": "yes"}}}
    spec: Object = {"failurePolicy": "Fail", "reinvocationPolicy": "Never", "mutations": [label]}
    spec["matchConstraints"] = {**selector, "resourceRules": [rule]}
    meta = {"name": "adds"}
    here.server.apply(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": meta,
            "spec": spec,
        }
    ).ok()
    bound = {"policyName": "adds", "matchResources": selector}
    here.server.apply(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": meta,
            "spec": bound,
        }
    ).ok()


def test_fields_that_a_policy_and_a_limit_range_add_make_no_endless_apply(
    here: World, operator: Operator, request: pytest.FixtureRequest
) -> None:
    namespace = here.server.namespace(own_namespace(request))
    mutate(here, namespace)
    limits = [{"type": "Container", "default": {"cpu": "2"}, "defaultRequest": {"cpu": "10m"}}]
    meta = {"name": "usual", "namespace": namespace}
    here.server.apply(
        {"apiVersion": "v1", "kind": "LimitRange", "metadata": meta, "spec": {"limits": limits}}
    ).ok()

    def is_mutated() -> bool:
        """A policy is in force a moment after it was made."""
        probe: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "probe", "namespace": namespace},
        }
        probe["stringData"] = {"at": str(time.monotonic())}
        here.server.apply(probe).ok()
        found = here.server.get(f"/api/v1/namespaces/{namespace}/secrets/probe")
        return "cost-centre" in (found["metadata"].get("labels") or {})

    here.wait("the policy is in force", is_mutated, 60)
    here.cluster(namespace, "c")
    here.wait_ready(namespace, "c", 120)
    paths = ("/apis/apps/v1/namespaces/{}/statefulsets/c", "/api/v1/namespaces/{}/services/c")
    for path in paths:
        assert (
            here.server.get(path.format(namespace))["metadata"]["labels"]["cost-centre"] == "shop"
        )
    pod = here.server.get(f"/api/v1/namespaces/{namespace}/pods/c-0")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "2"
    before = len(here.server.requests())
    uids = [
        p["metadata"]["uid"]
        for p in here.server.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    ]
    time.sleep(REST_S)
    assert here.writes(before) == [], "at rest nothing is written"
    assert [
        p["metadata"]["uid"]
        for p in here.server.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    ] == uids
