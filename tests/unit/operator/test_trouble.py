"""First-run errors, as kubelet, scheduler, provisioner and controllers tell them, become one reason
and one text each."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from typing import Any

import pytest
from countercluster_operator.decide import report
from countercluster_operator.decide.decision import decided
from countercluster_operator.decide.plan import plan
from countercluster_operator.model import Cluster, Spec
from countercluster_operator.world.observed import Observed, Pod
from countercluster_operator.world.trouble import (
    EVENTS_S,
    Inquiry,
    killed,
    of_deployment,
    of_pod,
    running,
    troubles,
)
from kubernetes.aio.client.exceptions import ApiException

Object = dict[str, Any]
NOW = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)
CLUSTER = Cluster("c", "ns", "uid", 1, Spec(), "image", "redis")


def container(name: str = "node", image: str = "nosuch/image:1", **more: Any) -> Object:
    return {"name": name, "image": image, "ready": False, **more}


def pod(*containers: Object, **status: Any) -> Object:
    limits = {"name": "node", "resources": {"limits": {"memory": "64Mi"}}}
    return {
        "metadata": {"name": "c-0"},
        "spec": {"containers": [limits]},
        "status": {"containerStatuses": list(containers), **status},
    }


def waiting(reason: str, message: str = "", **more: Any) -> Object:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def ended(code: int, reason: str = "Error", **more: Any) -> Object:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "finishedAt": "2026-11-27T11:59:00Z",
            **more,
        }
    }


PULL = 'failed to pull and unpack image "nosuch/image:1": not found'


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (pod(container(**waiting("ContainerCreating"))), ""),
        (pod(container(state={"running": {}})), ""),
        (
            pod(container(**waiting("ErrImagePull", PULL))),
            f"ImagePullBackOff: image nosuch/image:1 cannot be pulled: {PULL}",
        ),
        (
            pod(
                container(
                    **waiting(
                        "ImagePullBackOff",
                        f'Back-off pulling image "nosuch/image:1": ErrImagePull: {PULL}',
                    )
                )
            ),
            f"ImagePullBackOff: image nosuch/image:1 cannot be pulled: {PULL}",
        ),
        (
            pod(
                container(**waiting("ImagePullBackOff", 'Back-off pulling image "nosuch/image:1"'))
            ),
            "ImagePullBackOff: image nosuch/image:1 cannot be pulled",
        ),
        (
            pod(container(**waiting("InvalidImageName", "couldn't parse"))),
            "InvalidImageName: couldn't parse",
        ),
        (
            pod(container(**waiting("CreateContainerConfigError", "no Secret"))),
            "CreateContainerConfigError: no Secret",
        ),
        (
            pod(
                container(
                    **waiting("CrashLoopBackOff", "back-off 40s restarting", lastState=ended(2))
                )
            ),
            "CrashLoopBackOff: it ended with exit code 2",
        ),
        (
            pod(container(state=ended(137, "Evil", message="first\nlast"))),
            "CrashLoopBackOff: it ended with exit code 137 (Evil): last",
        ),
        (
            pod(container(**waiting("CrashLoopBackOff", "", lastState=ended(137, "OOMKilled")))),
            "OOMKilled: it took more memory than its limit of 64Mi allows "
            "(docs/operating/trouble.md#oomkilled)",
        ),
        (
            pod(container(state={"running": {}}, lastState=ended(137, "OOMKilled"))),
            "OOMKilled: it took more memory than its limit of 64Mi allows "
            "(docs/operating/trouble.md#oomkilled)",
        ),
        (pod(container(state={"running": {}}, lastState=ended(137, "OOMKilled"), ready=True)), ""),
        (
            pod(
                container(state={"running": {}}, ready=True),
                container("proxy", "x:1", **waiting("ErrImagePull")),
            ),
            "ImagePullBackOff: container proxy: image x:1 cannot be pulled",
        ),
        (
            pod(
                container(**waiting("PodInitializing")),
                initContainerStatuses=[
                    container("init", **waiting("CrashLoopBackOff", lastState=ended(1)))
                ],
            ),
            "CrashLoopBackOff: container init: it ended with exit code 1",
        ),
        (
            pod(
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available",
                    }
                ]
            ),
            "FailedScheduling: 0/3 nodes are available",
        ),
        (pod(container(**waiting("no word", "x" * 1000))), "NotStarted: " + "x" * 387 + "…"),
    ],
)
def test_what_the_kubelet_and_the_scheduler_say_is_one_text(found: Object, text: str) -> None:
    assert of_pod(found) == text


def test_running_means_our_container_and_not_one_that_somebody_injected() -> None:
    beside = pod(
        container(**waiting("ErrImagePull")), container("proxy", state={"running": {}}, ready=True)
    )
    assert not running(beside)
    assert running(
        pod(container("proxy", **waiting("ErrImagePull")), container(state={"running": {}}))
    )


def test_a_bad_image_at_the_first_formation_is_replaced_also_beside_a_sidecar() -> None:
    beside = pod(
        container(**waiting("ErrImagePull")), container("proxy", state={"running": {}}, ready=True)
    )
    pods = tuple(
        Pod(f"c-{n}", n, running=running(beside), revision="old", trouble=of_pod(beside))
        for n in range(3)
    )
    step = plan(
        CLUSTER, Observed(pods=pods, set_replicas=3, set_current=True, revision="new", target=3)
    ).step
    assert step is not None
    assert (step.kind, step.pod) == ("DeletePod", "c-0")


def test_a_death_by_memory_is_reported_once_it_runs_again_and_not_for_ever() -> None:
    found = pod(container(state={"running": {}}, lastState=ended(137, "OOMKilled"), ready=True))
    assert (
        killed(found, NOW)
        == "c-0 took more memory than its limit of 64Mi allows, and was killed at "
        "2026-11-27T11:59:00Z"
    )
    assert killed(found, NOW + datetime.timedelta(hours=1)) == ""
    assert killed(pod(container(state={"running": {}}, lastState=ended(1))), NOW) == ""


def test_a_deployment_without_pods_tells_why() -> None:
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: small",
    }
    assert (
        of_deployment({"status": {"conditions": [refused]}})
        == "FailedCreate: exceeded quota: small"
    )
    assert of_deployment(None) == ""


class Events:
    """The API server's events, by the name of what they are about."""

    def __init__(self, **events: list[Object]) -> None:
        self.events, self.asked, self.failing = events, [], None
        self.now_s = 0.0

    async def list(
        self,
        version: str,
        kind: str,
        namespace: str,
        selector: Object,
        *,
        fields: str,
        most_bytes: int,
    ) -> list[Object]:
        if self.failing is not None:
            raise self.failing
        assert (version, kind, namespace, selector) == ("events.k8s.io/v1", "Event", "ns", {})
        self.asked.append(fields)
        asked = dict(part.split("=") for part in fields.split(","))
        assert most_bytes <= 1 << 20
        return self.events.get(asked["regarding.name"].replace("-", "_"), [])


def event(reason: str, note: str, minutes_ago: float = 0) -> Object:
    at = NOW - datetime.timedelta(minutes=minutes_ago)
    return {
        "reason": reason,
        "note": note,
        "metadata": {},
        "deprecatedLastTimestamp": at.isoformat(),
    }


def starting(trouble: str = "", age_s: float = 60.0) -> Observed:
    return Observed(
        pods=tuple(Pod(f"c-{n}", n, trouble=trouble, age_s=age_s) for n in range(3)), set_replicas=3
    )


def explain(api: Events, seen: Observed) -> Observed:
    return asyncio.run(Inquiry(api, lambda: api.now_s, lambda: NOW).explain(CLUSTER, seen))  # type: ignore[arg-type]


def test_events_tell_why_nothing_starts() -> None:
    mount = event(
        "FailedMount", 'MountVolume.SetUp failed for volume "tls" :\n secret "x" not found'
    )
    assert explain(Events(c_0=[event("Pulled", "good"), mount]), starting()).pods[0].trouble == (
        'FailedMount: MountVolume.SetUp failed for volume "tls" : secret "x" not found'
    )
    provisioner = event("ProvisioningFailed", 'storageclass "nosuch" not found')
    unbound = starting("FailedScheduling: pod has unbound immediate PersistentVolumeClaims")
    assert (
        explain(Events(data_c_0=[provisioner]), unbound).pods[0].trouble
        == 'ProvisioningFailed: storageclass "nosuch" not found'
    )
    quota = event("FailedCreate", "create Pod c-0 failed: exceeded quota: small")
    none = Observed(set_replicas=3)
    assert explain(Events(c=[quota]), none).trouble == (
        "FailedCreate",
        "FailedCreate: create Pod c-0 failed: exceeded quota: small",
    )


def test_what_was_said_of_a_pod_that_is_there_by_now_is_over() -> None:
    """Kubernetes writes few events of one object: the newest may be of another pod."""
    text = 'Create Pod c-{} in StatefulSet c failed error: pods "c-{}" is forbidden: exceeded quota'
    first, second = (event("FailedCreate", text.format(n, n), 3 - n) for n in (1, 2))
    seen = Observed(pods=(Pod("c-0", 0, ready=True), Pod("c-2", 2, ready=True)), set_replicas=3)
    trouble = explain(Events(c=[first, second]), seen).trouble
    assert trouble is not None
    assert "Create Pod c-1" in trouble[1]
    assert explain(Events(c=[second]), seen).trouble is None


def test_events_are_asked_for_rarely_only_when_nothing_else_tells_and_may_be_missing() -> None:
    api = Events(
        c_0=[
            event("FailedMount", "old", 20),
            event("FailedMount", "older than another", 5),
            event("FailedMount", "new", 1),
        ]
    )
    inquiry = Inquiry(api, lambda: api.now_s, lambda: NOW)  # type: ignore[arg-type]

    def look(seen: Observed) -> str:
        return asyncio.run(inquiry.explain(CLUSTER, seen)).pods[0].trouble

    assert look(starting(age_s=1.0)) == ""
    assert look(starting("ImagePullBackOff: x")) == "ImagePullBackOff: x"
    assert api.asked == []
    assert look(starting()) == "FailedMount: new"
    api.now_s = EVENTS_S - 1
    look(starting())
    assert len(api.asked) == 2, "the pod and its claim, once"
    api.failing = ApiException(status=403)
    api.now_s = EVENTS_S + 1
    assert look(starting()) == ""
    only_old = Events(c_0=[event("FailedMount", "old", 20)])
    assert explain(only_old, starting()).pods[0].trouble == ""


def conditions(seen: Observed) -> dict[str, Object]:
    found = report.status(CLUSTER, seen, decided(plan(CLUSTER, seen), seen), {}, "now")
    return {c["type"]: c for c in found["conditions"]}


@pytest.mark.parametrize("formed", [False, True], ids=["first formation", "later"])
def test_the_cause_is_in_the_conditions_and_in_one_event(formed: bool) -> None:
    text = "ImagePullBackOff: image nosuch/image:1 cannot be pulled"
    seen = starting(text)
    if formed:
        seen = dataclasses.replace(seen, bootstrap=("c-0", "id"), target=3)
    found = conditions(seen)
    assert found["Ready"]["reason"] == "ImagePullBackOff"
    for kind in ("Ready", "Available"):
        assert text in found[kind]["message"], kind
    assert troubles(seen) == [("ImagePullBackOff", f"c-0: {text}")], (
        "one, although three pods have it"
    )


def test_no_redis_says_why() -> None:
    seen = dataclasses.replace(
        starting(), cache_trouble="ImagePullBackOff: image x cannot be pulled"
    )
    assert (
        "no Redis pod is ready: ImagePullBackOff: image x"
        in conditions(seen)["CacheAvailable"]["message"]
    )
    assert ("ImagePullBackOff", "Redis: ImagePullBackOff: image x cannot be pulled") in troubles(
        seen
    )
