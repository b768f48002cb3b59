"""The administrator's restriction: the sample policy on a real API server, and the operator's own
settings with real nodes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver.world import API, world
from tests.support.api_requests import Answer
from tests.support.apiserver import ApiServer

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "manifests" / "policies" / "tenants.yaml"

pytestmark = pytest.mark.timeout(300)

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"image": ""},
    {"image": "ghcr.io/acme/node:1", "cache": {"image": "ghcr.io/acme/redis@sha256:aa"}},
    {
        "podTemplate": {
            "priorityClassName": "tenants",
            "tolerations": [{"key": "pool", "operator": "Exists"}],
        }
    },
    {
        "podTemplate": {
            "labels": {"team": "a"},
            "annotations": {"countercluster.io/restarted-at": "now"},
        }
    },
    {
        "podTemplate": {
            "nodeSelector": {"pool": "tenants"},
            "topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname"}],
        }
    },
    {
        "storage": {"storageClassName": "standard"},
        "monitoring": {"enabled": True, "labels": {"release": "p"}},
    },
    {"resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"image": "ghcr.io/acmes/node:1"},
        "image ghcr.io/acmes/node:1 is not allowed: take one that begins with ghcr.io/acme/",
    ),
    ({"image": "ghcr.io/acme/../x/node:1"}, "image ghcr.io/acme/../x/node:1 is not allowed"),
    ({"cache": {"image": "redis:8"}}, "image redis:8 is not allowed"),
    (
        {"podTemplate": {"priorityClassName": "system-node-critical"}},
        "priorityClassName system-node-critical is not allowed: take tenants",
    ),
    (
        {"podTemplate": {"tolerations": [{"operator": "Exists"}]}},
        "tolerations: * is not allowed: tolerate pool",
    ),
    (
        {"podTemplate": {"tolerations": [{"key": "other", "operator": "Exists"}]}},
        "tolerations: other is not allowed",
    ),
    (
        {"podTemplate": {"labels": {"app": "shop"}}},
        "label app is not allowed: give team or release",
    ),
    ({"monitoring": {"labels": {"app": "shop"}}}, "label app is not allowed"),
    ({"podTemplate": {"annotations": {"a": "b"}}}, "annotation a is not allowed"),
    (
        {"podTemplate": {"nodeSelector": {"pool": "system"}}},
        "nodeSelector: pool=system is not allowed: ask for pool=tenants",
    ),
    (
        {"podTemplate": {"topologySpreadConstraints": [{"topologyKey": "rack"}]}},
        "rack is not allowed",
    ),
    (
        {"storage": {"storageClassName": "fast"}},
        "storageClassName fast is not allowed: take standard",
    ),
    (
        {"resources": {"limits": {"example.com/device": 1}}},
        "spec.resources: example.com/device is not allowed",
    ),
]


def _dry(server: ApiServer, namespace: str, spec: dict[str, Any]) -> Answer:
    manifest = {
        "apiVersion": API,
        "kind": "CounterCluster",
        "metadata": {"name": "c", "namespace": namespace},
        "spec": spec,
    }
    return server.apply(manifest, dryRun="All")


@pytest.fixture(scope="module")
def tenants(server: ApiServer) -> str:
    """A namespace in which the policy is in force."""
    name = server.namespace("tenants", **{"countercluster.io/tenant": "true"})
    for manifest in yaml.safe_load_all(POLICY.read_text()):
        server.apply(manifest).ok()
    end = time.monotonic() + 60
    while _dry(server, name, {"image": "evil"}).status < 300:
        assert time.monotonic() < end, "the policy is not in force"
        time.sleep(0.2)
    return name


def test_the_sample_policy_accepts_what_its_lists_have(server: ApiServer, tenants: str) -> None:
    for spec in ACCEPTED:
        answer = _dry(server, tenants, spec)
        assert answer.status < 300, f"{spec}: {answer.message}"


def test_the_sample_policy_refuses_everything_else_in_words(
    server: ApiServer, tenants: str
) -> None:
    for spec, words in REFUSED:
        answer = _dry(server, tenants, spec)
        assert answer.status == 422, f"{spec}: {answer.message}"
        assert words in answer.message


def test_other_namespaces_are_not_concerned(server: ApiServer, tenants: str) -> None:
    assert _dry(server, server.namespace("not-of-tenants"), {"image": "evil"}).status < 300


def test_the_api_server_takes_the_policy_without_a_warning(server: ApiServer, tenants: str) -> None:
    """Its expressions are checked against the schema in the background."""
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    path = f"{policies}/counterclusters-of-tenants"
    found = server.get(path)
    checking = found.get("status", {}).get("typeChecking", {})
    assert not checking.get("expressionWarnings"), checking


def test_the_operators_settings_hold_where_no_policy_does(tmp_path: Path) -> None:
    """A cluster that runs goes on and is healed with what it has; a new one gets no pods; what is
    taken back is applied."""
    with world(tmp_path) as here:
        name = here.server.namespace("restricted")
        with here.operator(ALLOWED_IMAGES="none", ALLOWED_LABELS="none"):
            here.cluster(name, "clicks", replicas=1)
            here.wait_ready(name, "clicks")
            before = here.children(name)["StatefulSet", "clicks"]
            here.edit(name, "clicks", image="evil:1", podTemplate={"labels": {"app": "shop"}})
            here.cluster(name, "other", replicas=1, image="evil:1")
            for cluster in ("clicks", "other"):
                here.wait(
                    f"{cluster} is reported",
                    lambda cluster=cluster: (
                        here.condition(name, cluster).get("reason") == "NotAllowed"
                    ),
                )  # type: ignore[misc]
                message = here.condition(name, cluster)["message"]
                assert (
                    "spec.image: evil:1 is not allowed; the operator's setting ALLOWED_IMAGES "
                    "allows none" in message
                )
            children = here.children(name)
            assert children["StatefulSet", "clicks"] == before
            assert ("StatefulSet", "other") not in children
            assert here.condition(name, "clicks", "Available")["status"] == "True"
            assert here.ask(name, "clicks-0", "INCR", "visits", port=6379) == 1
            here.edit(name, "other", image="")
            here.wait_ready(name, "other")
