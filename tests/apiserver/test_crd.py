"""What the API server accepts, refuses, fills in and shows of a CounterCluster."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from countercluster_operator import names
from countercluster_operator.model import Spec, decode

from tests.apiserver.crd_tables import ACCEPTED, REFUSED
from tests.support.api_requests import Answer
from tests.support.apiserver import ApiServer

ROOT = Path(__file__).resolve().parents[2]
CRD = yaml.safe_load((ROOT / "crds" / "countercluster.yaml").read_text())


def _cluster(spec: dict[str, Any], name: str = "c", namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _create(server: ApiServer, body: dict[str, Any], **query: str) -> Answer:
    path = f"/apis/{names.API_VERSION}/namespaces/{body['metadata']['namespace']}/{names.PLURAL}"
    return server.request("POST", path, body, **{"fieldValidation": "Strict", **query})


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(server: ApiServer, case: str) -> None:
    answer = _create(server, _cluster(ACCEPTED[case]), dryRun="All")
    assert answer.status == 201, answer.message
    assert (
        decode(
            {**answer.body, "metadata": {**answer.body["metadata"], "generation": 1}},
            "node",
            "redis",
        ).image
        == "node"
    )


@pytest.mark.parametrize("case", REFUSED)
def test_refused(server: ApiServer, case: str) -> None:
    spec, why = REFUSED[case]
    answer = _create(server, _cluster(spec), dryRun="All")
    assert answer.status == 422, answer
    assert why in answer.message


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 41, "more than 40 characters"),
        ("7-of-them", "beginning with a letter"),
        ("a.b", "part of DNS names"),
    ],
)
def test_a_name_that_does_not_fit_the_children_is_refused(
    server: ApiServer, name: str, why: str
) -> None:
    answer = _create(server, _cluster({}, name), dryRun="All")
    assert answer.status == 422
    assert why in answer.message


def test_a_name_of_forty_characters_is_accepted(server: ApiServer) -> None:
    assert _create(server, _cluster({}, "x" * 40), dryRun="All").status == 201


def test_a_field_that_does_not_exist_is_named(server: ApiServer) -> None:
    answer = _create(server, _cluster({"replica": 3}), dryRun="All")
    assert answer.status == 400
    assert 'unknown field "spec.replica"' in answer.message


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"storage": {"storageClassName": "other"}},
            "spec.storage.storageClassName cannot be changed",
        ),
        (
            {"tls": {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"}},
            "spec.tls.enabled cannot be changed",
        ),
        ({"auth": {"enabled": False}}, "spec.auth.enabled cannot be changed"),
    ],
)
def test_what_cannot_be_undone_is_refused_later(
    server: ApiServer, namespace: str, change: dict[str, Any], why: str
) -> None:
    _create(
        server, _cluster({"storage": {"size": "2Gi", "storageClassName": "fast"}}, "c", namespace)
    )
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/c"
    answer = server.merge(path, {"spec": change})
    assert answer.status == 422, answer
    assert why in answer.message
    assert server.merge(path, {"spec": {"storage": {"size": "2048Mi"}}}).status == 200, (
        "the same size in other words"
    )
    assert server.merge(path, {"spec": {"storage": {"size": "3Gi"}}}).status == 200


def test_every_rule_of_the_schema_is_in_these_tables(server: ApiServer) -> None:
    """A rule that nobody has seen refuse something may never do so."""
    causes = [why for _, why in REFUSED.values()]
    causes += [mark.args[1][i][1] for test in (test_what_cannot_be_undone_is_refused_later,
    test_a_name_that_does_not_fit_the_children_is_refused)
             for mark in test.pytestmark for i in range(len(mark.args[1]))]  # fmt: skip
    untold = [
        message for message in _messages(_schema()) if not any(why in message for why in causes)
    ]
    assert not untold


def test_defaults_are_filled_in_by_the_api_server_and_are_those_of_the_operator(
    server: ApiServer,
) -> None:
    found = _create(server, _cluster({}), dryRun="All").ok()["spec"]
    assert found["replicas"] == 3
    assert found["storage"]["size"] == "1Gi"
    own = Spec(resources=found["resources"])
    body = {
        "metadata": {"name": "c", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": found,
    }
    assert decode(body, "node", "redis").spec == own, (
        "what is left out means the same to the API server and to the operator"
    )


def test_the_schema_is_structural_and_nothing_in_it_is_free_form(server: ApiServer) -> None:
    path = (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/counterclusters.countercluster.io"
    )
    conditions = {c["type"]: c for c in server.get(path)["status"]["conditions"]}
    assert conditions["Established"]["status"] == "True"
    assert "NonStructuralSchema" not in conditions
    assert "x-kubernetes-preserve-unknown-fields" not in str(CRD)


def test_kubectl_shows_columns_short_name_and_category(server: ApiServer, namespace: str) -> None:
    _create(server, _cluster({"replicas": 5}, "clicks", namespace)).ok()
    status = {
        "observedGeneration": 1,
        "readyReplicas": 4,
        "leader": "clicks-2",
        "conditions": [
            _condition("Ready", "False", "Promote", "clicks-4 votes"),
            _condition("CacheAvailable", "True", "RedisReady", ""),
        ],
    }
    server.merge(
        f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks/status",
        {"status": status},
    ).ok()
    for word in ("cc", "all", "countercluster"):
        head, line = server.kubectl("get", word, "-n", namespace).splitlines()
        assert head.split() == ["NAME", "REPLICAS", "READY", "LEADER", "CACHE", "STATUS", "AGE"]
        assert line.split()[:6] == [
            f"{'countercluster.countercluster.io/' if word == 'all' else ''}clicks",
            "5",
            "4",
            "clicks-2",
            "True",
            "Promote",
        ]
    assert "clicks-4 votes" in server.kubectl("get", "cc", "-n", namespace, "-o", "wide")


def test_kubectl_explains_every_part(server: ApiServer) -> None:
    assert "Voting members, 1 to 7" in server.kubectl("explain", "cc.spec.replicas")
    assert "Coming" not in server.kubectl("explain", "cc", "--recursive")
    assert "<no description>" not in server.kubectl("explain", "cc.spec") + server.kubectl(
        "explain", "cc.status"
    )


def test_scale_reads_and_writes_replicas_and_has_a_selector(
    server: ApiServer, namespace: str
) -> None:
    _create(server, _cluster({"replicas": 3}, "clicks", namespace)).ok()
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks"
    server.merge(f"{path}/status", {"status": {"replicas": 3, "selector": "a=b"}}).ok()
    server.kubectl("scale", "cc/clicks", "-n", namespace, "--replicas=5")
    scale = server.get(f"{path}/scale")
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 3, "selector": "a=b"}
    answer = server.merge(f"{path}/scale", {"spec": {"replicas": 8}})
    assert answer.status == 422, "the limits hold here as well"


def test_the_status_is_written_through_its_subresource_only(
    server: ApiServer, namespace: str
) -> None:
    made = _create(server, {**_cluster({}, "clicks", namespace), "status": {"leader": "me"}}).ok()
    assert "status" not in made
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks"
    server.merge(f"{path}/status", {"status": {"leader": "clicks-1"}, "spec": {"replicas": 7}}).ok()
    found = server.get(path)
    assert (found["spec"]["replicas"], found["status"]["leader"]) == (3, "clicks-1")
    assert found["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    "path", sorted((ROOT / "manifests" / "samples").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_sample_is_accepted_with_all_its_fields(server: ApiServer, path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    body["metadata"]["namespace"] = "default"
    answer = _create(server, body, dryRun="All")
    assert answer.status == 201, answer.message


def test_conditions_are_a_map_by_type_for_server_side_apply(
    server: ApiServer, namespace: str
) -> None:
    _create(server, _cluster({}, "clicks", namespace)).ok()
    body = _cluster({}, "clicks", namespace)
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.PLURAL}/clicks/status"
    for who, kind in (("one", "Ready"), ("two", "Example")):
        applied = copy.deepcopy(body)
        del applied["spec"]
        applied["status"] = {"conditions": [_condition(kind, "True", "Why", "")]}
        server.request(
            "PATCH", path, applied, content_type="application/apply-patch+yaml", fieldManager=who
        ).ok()
    assert {c["type"] for c in server.get(path)["status"]["conditions"]} == {"Ready", "Example"}


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    since = "2026-01-01T00:00:00Z"
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": 1,
    }


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _messages(schema: dict[str, Any]) -> list[str]:
    found = [rule["message"] for rule in schema.get("x-kubernetes-validations", [])]
    for inner in [
        *schema.get("properties", {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]:
        if isinstance(inner, dict):
            found += _messages(inner)
    return found
