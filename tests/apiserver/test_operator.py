"""The operator as a process against a real API server, with real nodes: what it does, what it
leaves alone, what it says, and when it is silent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.apiserver.conftest import own_namespace
from tests.apiserver.test_rbac import ALLOWED, IN_ITS_OWN_NAMESPACE, MACHINES
from tests.apiserver.world import World, world
from tests.support.operators import Operator

REST_S = 12.0


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("operator")) as found:
        yield found


@pytest.fixture(scope="module")
def operator(here: World) -> Iterator[Operator]:
    with here.operator().kept() as found:
        yield found
        assert not found.complaints(), "no error without an explanation"


@pytest.fixture
def namespace(here: World, operator: Operator, request: pytest.FixtureRequest) -> Iterator[str]:
    with here.space(own_namespace(request)) as found:
        yield found


def test_a_cluster_is_ready_by_every_convention_and_then_nothing_is_written(
    here: World, operator: Operator, namespace: str
) -> None:
    here.cluster(namespace, "clicks")
    assert "condition met" in here.server.kubectl(
        "wait", "--for=condition=Ready", "cc/clicks", "-n", namespace, "--timeout=60s"
    )
    found = here.get(namespace, "clicks")
    status = found["status"]
    assert status["observedGeneration"] == found["metadata"]["generation"]
    assert {c["observedGeneration"] for c in status["conditions"]} == {
        found["metadata"]["generation"]
    }
    assert not {"Reconciling", "Stalled"} & {c["type"] for c in status["conditions"]}, (
        "kstatus reads these as not current when true"
    )
    assert (status["replicas"], status["readyReplicas"]) == (3, 3)
    assert len(here.members(namespace, "clicks")) == 3
    assert here.ask(namespace, "clicks-0", "INCR", "visits", port=6379) == 1

    time.sleep(2)
    version, since = (
        here.get(namespace, "clicks")["metadata"]["resourceVersion"],
        len(here.server.requests()),
    )
    time.sleep(REST_S)
    assert here.writes(since) == []
    assert here.get(namespace, "clicks")["metadata"]["resourceVersion"] == version


def test_what_is_touched_is_put_right_and_what_is_deleted_comes_back(
    here: World, operator: Operator, namespace: str
) -> None:
    here.cluster(namespace, "clicks", replicas=1)
    here.wait_ready(namespace, "clicks")
    wanted = here.children(namespace)
    service = f"/api/v1/namespaces/{namespace}/services/clicks"
    here.server.merge(service, {"spec": {"ports": [{"name": "resp", "port": 1}]}}).ok()
    here.server.merge(
        f"{service}-peers", {"metadata": {"labels": {"app.kubernetes.io/name": None}}}
    ).ok()
    here.server.request("DELETE", f"/api/v1/namespaces/{namespace}/secrets/clicks-client").ok()
    here.server.request(
        "DELETE", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/clicks"
    ).ok()
    here.wait("everything is as it was", lambda: here.children(namespace) == wanted, 15)


def test_a_pod_that_the_statefulset_controller_would_make_much_later_is_made_soon(
    here: World, operator: Operator, namespace: str
) -> None:
    """It does not hear of the end of a pod that another StatefulSet of this name made, and after
    many looks in vain it waits for minutes."""
    here.cluster(namespace, "clicks")
    here.wait_ready(namespace, "clicks")
    pods, name = (
        f"/api/v1/namespaces/{namespace}/pods",
        f"/apis/apps/v1/namespaces/{namespace}/statefulsets/clicks",
    )
    first, last = (here.server.get(f"{pods}/clicks-{o}")["metadata"]["uid"] for o in (0, 2))
    here.server.merge(f"{pods}/clicks-2", {"metadata": {"finalizers": ["example.com/held"]}}).ok()
    here.server.request("DELETE", name).ok()
    here.wait(
        "the others are made again",
        lambda: (
            here.server.request("GET", f"{pods}/clicks-0").body["metadata"].get("uid")
            not in (first, None)
        ),
        60,
    )
    for count in range(18):  # each makes it look, in vain: 5 ms * 2**18 are 20 minutes
        here.server.merge(
            name, {"metadata": {"annotations": {"example.com/count": str(count)}}}
        ).ok()
        time.sleep(0.15)
    assert here.server.get(f"{pods}/clicks-2")["metadata"]["uid"] == last, "it is held"
    here.server.merge(f"{pods}/clicks-2", {"metadata": {"finalizers": None}}).ok()
    here.wait(
        "it is made again",
        lambda: (
            here.server.request("GET", f"{pods}/clicks-2").body["metadata"].get("uid")
            not in (last, None)
        ),
        60,
    )
    here.wait_ready(namespace, "clicks")


def test_a_pod_whose_labels_somebody_changed_is_found_and_replaced(
    here: World, operator: Operator, namespace: str
) -> None:
    here.cluster(namespace, "clicks")
    here.wait_ready(namespace, "clicks")
    path = f"/api/v1/namespaces/{namespace}/pods/clicks-1"
    uid = here.server.get(path)["metadata"]["uid"]
    here.server.merge(path, {"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}).ok()
    here.wait(
        "there is a new one",
        lambda: here.server.request("GET", path).body["metadata"].get("uid") not in (uid, None),
        60,
    )
    here.wait_ready(namespace, "clicks")


def test_a_child_that_belongs_to_somebody_else_is_left_alone_and_reported(
    here: World, operator: Operator, namespace: str
) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "clicks", "namespace": namespace},
    }
    theirs["spec"] = {"selector": {"app": "shop"}, "ports": [{"port": 80}]}  # type: ignore[assignment]
    made = here.server.apply(theirs).ok()
    here.cluster(namespace, "clicks", replicas=1)
    here.wait(
        "it says so", lambda: here.condition(namespace, "clicks").get("reason") == "ChildRefused"
    )
    assert (
        "Service clicks was there already and is not the operator's"
        in here.condition(namespace, "clicks")["message"]
    )
    path = f"/api/v1/namespaces/{namespace}/services/clicks"
    assert here.server.get(path)["spec"] == made["spec"]
    assert here.server.get(path)["metadata"].get("ownerReferences") is None
    here.wait(
        "the rest is kept all the same",
        lambda: here.condition(namespace, "clicks", "QuorumHealthy").get("status") == "True",
    )
    here.server.request("DELETE", path).ok()
    here.wait_ready(namespace, "clicks")


def test_two_clusters_whose_names_meet_do_not_fight(
    here: World, operator: Operator, namespace: str
) -> None:
    """`a` wants a Service `a-peers`; so does a CounterCluster called `a-peers`."""
    here.cluster(namespace, "a", replicas=1)
    here.wait_ready(namespace, "a")
    here.cluster(namespace, "a-peers", replicas=1)
    here.wait(
        "the second is reported",
        lambda: here.condition(namespace, "a-peers").get("reason") == "ChildRefused",
    )
    assert (
        "Service a-peers belongs to CounterCluster a"
        in here.condition(namespace, "a-peers")["message"]
    )
    since = len(here.server.requests())
    time.sleep(5)
    assert not [
        r for r in here.writes(since) if r.resource == "services" and r.name in ("a", "a-peers")
    ]
    assert here.condition(namespace, "a")["status"] == "True"


def test_a_stateful_set_of_somebody_else_is_never_acted_upon(
    here: World, operator: Operator, namespace: str
) -> None:
    meta: dict[str, Any] = {"name": "clicks", "namespace": namespace}
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "shop", "image": "shop"}]},
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    spec = {
        "serviceName": "shop",
        "selector": {"matchLabels": {"app": "shop"}},
        "template": template,
        "volumeClaimTemplates": [claim],
    }
    made = here.server.apply(
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}
    ).ok()
    here.cluster(namespace, "clicks", storage={"size": "1Gi"})
    here.wait(
        "it says so", lambda: here.condition(namespace, "clicks").get("reason") == "ChildRefused"
    )
    time.sleep(3)
    found = here.server.get(f"/apis/apps/v1/namespaces/{namespace}/statefulsets/clicks")
    assert (found["metadata"]["uid"], found["spec"]) == (made["metadata"]["uid"], made["spec"])


def test_what_the_api_server_refuses_is_a_condition_with_its_words(
    here: World, operator: Operator, namespace: str
) -> None:
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["statefulsets"],
                    }
                ]
            },
            "matchConditions": [
                {"name": "here", "expression": f"object.metadata.namespace == '{namespace}'"}
            ],
            "validations": [{"expression": "false", "message": "not on a Friday"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"]},
    }
    root = "/apis/admissionregistration.k8s.io/v1"
    here.server.request("POST", f"{root}/validatingadmissionpolicies", policy).ok()
    here.server.request("POST", f"{root}/validatingadmissionpolicybindings", binding).ok()
    time.sleep(2)  # until it is in force
    here.cluster(namespace, "clicks", replicas=1)
    here.wait(
        "it says so", lambda: here.condition(namespace, "clicks").get("reason") == "ChildRefused"
    )
    message = here.condition(namespace, "clicks")["message"]
    assert "the API server refuses StatefulSet clicks" in message
    assert "not on a Friday" in message
    events = here.server.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"]
    assert [e["type"] for e in events if e["reason"] == "ChildRefused"] == ["Warning"], (
        "reported once"
    )
    here.server.request("DELETE", f"{root}/validatingadmissionpolicybindings/{namespace}").ok()
    here.wait_ready(namespace, "clicks")


def test_events_name_the_cluster_the_reason_and_who_tells(
    here: World, operator: Operator, namespace: str
) -> None:
    here.cluster(namespace, "clicks", replicas=1)
    here.wait_ready(namespace, "clicks")
    listed = here.server.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"]
    events = [e for e in listed if e["regarding"]["kind"] == "CounterCluster"]
    reasons = [e["reason"] for e in events]
    assert {"RecordBootstrap", "Bootstrap"} <= set(reasons)
    assert len(reasons) == len(set(reasons)), "each decision is reported once"
    for event in events:
        assert event["regarding"]["name"] == "clicks"
        assert event["reportingController"] == "countercluster-operator"
        assert event["reportingInstance"] == operator.name
        assert event["note"]


def test_scaling_and_removing_leave_what_the_spec_says(
    here: World, operator: Operator, namespace: str
) -> None:
    here.cluster(namespace, "clicks", replicas=3)
    here.wait_ready(namespace, "clicks")
    here.ask(namespace, "clicks-0", "INCRBY", "visits", 7, port=6379)
    for replicas in (5, 1):
        here.edit(namespace, "clicks", replicas=replicas)
        here.wait_ready(namespace, "clicks")
        assert len(here.members(namespace, "clicks")) == replicas
    assert here.ask(namespace, "clicks-0", "GET", "visits", port=6379) == b"7"

    def claims() -> set[str]:
        return {name for kind, name in here.children(namespace) if kind == "PersistentVolumeClaim"}

    here.wait("only the claim of the last one is left", lambda: claims() == {"data-clicks-0"})
    here.server.request("DELETE", here.path(namespace, "clicks")).ok()
    here.wait("nothing is left", lambda: not here.children(namespace))


def test_every_line_of_the_log_is_an_object_and_passes_have_a_run_id(operator: Operator) -> None:
    lines = operator.lines()
    assert all({"time", "level", "logger", "msg"} <= line.keys() for line in lines)
    steps = [line for line in lines if "step" in line or "children" in line]
    assert steps
    assert all(line["run"] and "/" in line["cluster"] for line in steps)


def test_the_operator_is_healthy_and_its_metrics_tell_what_it_did(operator: Operator) -> None:
    assert operator.page("/healthz") == (200, "ok\n")
    assert operator.page("/readyz")[0] == 200
    assert operator.metric("countercluster_operator_leading") == 1
    assert operator.metric("countercluster_operator_reconcile_seconds_count") > 50
    assert operator.metric('countercluster_operator_reconciles_total\\{result="ok"\\}') > 50
    assert operator.metric('countercluster_operator_api_calls_total\\{verb="apply"\\}') > 50


def test_everything_it_asked_for_was_allowed(here: World, operator: Operator) -> None:
    asked = [r for r in here.server.requests() if r.user == operator.name and r.resource]
    assert not [r for r in asked if r.status == 401 or r.forbidden]
    used: dict[tuple[str, str], set[str]] = {}
    for r in asked:
        used.setdefault((r.group, r.resource), set()).add(r.verb)
    allowed = ALLOWED | MACHINES | IN_ITS_OWN_NAMESPACE
    assert used
    assert all(verbs <= allowed[key] for key, verbs in used.items())
