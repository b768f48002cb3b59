"""Webhooks that fail, for every kind of child and for events: the rest is done, healing goes on,
the status is true and says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver.world import World, world
from tests.support.webhooks import failing

pytestmark = pytest.mark.timeout(600)
FAILED_PASSES = 'countercluster_operator_reconciles_total\\{result="error"\\}'
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
RULES = [
    ("", ["services", "events"]),
    ("apps", ["statefulsets"]),
    ("events.k8s.io", ["events"]),
    ("policy", ["poddisruptionbudgets"]),
]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as found:
        yield found


def test_a_member_is_healed_and_the_status_is_true_while_a_webhook_fails(here: World) -> None:
    name = here.server.namespace("hooked")
    with here.operator() as operator:
        here.cluster(name, "clicks")
        here.wait_ready(name, "clicks")
        before = {m["nodeId"] for m in here.members(name, "clicks")}
        service = f"/api/v1/namespaces/{name}/services/clicks"
        _let_a_webhook_fail(here, name, service)
        here.server.request("DELETE", service).ok()
        here.edit(name, "clicks", resources={"requests": {"memory": "33Mi"}})
        here.wait(
            "it says so", lambda: here.condition(name, "clicks").get("reason") == "ChildRefused"
        )
        here.wait("with both children and the cause", lambda: _names_the_cause(here, name))
        failed = operator.metric(FAILED_PASSES)

        claim = f"/api/v1/namespaces/{name}/persistentvolumeclaims/data-clicks-2"
        here.server.request("DELETE", claim).ok()
        here.server.request("DELETE", f"/api/v1/namespaces/{name}/pods/clicks-2").ok()
        here.wait(
            "the member that lost its disk is replaced", lambda: _healed(here, name, before), 60
        )
        assert here.condition(name, "clicks", "QuorumHealthy")["status"] == "True"
        found = here.get(name, "clicks")
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
        assert operator.metric(FAILED_PASSES) == failed, "no pass has failed"

        here.server.request("DELETE", f"{HOOKS}/{name}").ok()
        here.wait(
            "the Service is back", lambda: here.server.request("GET", service).status == 200, 45
        )
        here.wait_ready(name, "clicks", 90)
        assert not [line for line in operator.lines() if "exception" in line]


def _let_a_webhook_fail(here: World, name: str, service: str) -> None:
    here.server.request("POST", HOOKS, failing(name, name, RULES, ("CREATE", "UPDATE"))).ok()
    here.wait(
        "the webhook is in force",
        lambda: here.server.merge(service, {"metadata": {"labels": {"a": "b"}}}).status == 500,
    )


def _names_the_cause(here: World, name: str) -> bool:
    message = str(here.condition(name, "clicks").get("message"))
    return (
        all(f"refuses {kind} clicks: " in message for kind in ("Service", "StatefulSet"))
        and "failed calling webhook" in message
    )


def _healed(here: World, namespace: str, before: set[str]) -> bool:
    if not here.get(namespace, "clicks")["status"].get("leader"):
        return False
    members = here.members(namespace, "clicks")
    return (
        len(members) == 3
        and all(m["voter"] for m in members)
        and {m["nodeId"] for m in members} != before
    )
