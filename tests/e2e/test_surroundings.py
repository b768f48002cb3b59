"""What a real cluster does to a CounterCluster: machines that take no pod, quotas and limits,
webhooks that fail, things that do not exist.

No volume is lost by any of it, the cause is reported where a user looks, and all is well again when
the cause is gone. Minutes each: `make e2e-all`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest

from examples.demo_counters import CounterCluster
from examples.demo_kube import API, OPERATOR_NAMESPACE, Namespace, Object, kubectl, wait
from tests.e2e import waits
from tests.e2e.machines import cut_off, docker, machine_lack, place, victim_machine, workers
from tests.e2e.rig import Rig, manifest
from tests.e2e.surroundings import (
    LONG,
    LOST_AFTER_S,
    ZONE,
    cordoned,
    full,
    hold,
    ids,
    member_alone,
    ready,
    tainted,
    volumes,
    wait_for_reason,
)
from tests.support.webhooks import failing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.disturbs_operator
@pytest.mark.parametrize(
    ("way", "words"),
    [(full, "Insufficient cpu"), (cordoned, "unschedulable"), (tainted, "untolerated taint")],
)
def test_a_machine_that_takes_no_pod_costs_no_volume(
    rig: Rig, way: Callable[..., contextlib.AbstractContextManager[None]], words: str
) -> None:
    rig.patch({"healing": {"replaceLostAfterSeconds": LOST_AFTER_S}})
    pod, machine = member_alone(rig)
    claims, members = volumes(rig), ids(rig)
    load = rig.load(f"no-room-{way.__name__}", *LONG)
    load.wait_counting()
    with way(rig, machine, pod):
        wait_for_reason(rig.space, "clicks", "FailedScheduling", words, seconds=waits.RECOVERED)
        hold(LOST_AFTER_S * 3, "a volume is gone", lambda: volumes(rig) == claims)
        assert ready(rig.space, "clicks")["reason"] == "FailedScheduling"
        assert rig.status()["leader"]
    rig.counters.wait_settled(3, waits.RECOVERED)
    assert (volumes(rig), ids(rig)) == (claims, members)
    rig.check(f"no-room-{way.__name__}", load, waits.GAP)


@pytest.fixture
def zones() -> Iterator[dict[str, str]]:
    """Two machines in one zone, the third in another."""
    labels = dict(zip(workers(), ("a", "a", "b"), strict=True))
    for machine, zone in labels.items():
        kubectl("label", "node", machine, f"{ZONE}={zone}", "--overwrite")
    yield labels
    for machine in labels:
        kubectl("label", "node", machine, f"{ZONE}-")


@pytest.mark.disturbs_operator
@pytest.mark.timeout(900)
def test_a_zone_that_is_away_is_reported_and_comes_back_whole(
    rig: Rig, zones: dict[str, str]
) -> None:
    """The zone has the majority; the operator is in the other one."""
    rig.patch({"healing": {"replaceLostAfterSeconds": LOST_AFTER_S}})
    books = rig.load("zone", "--count", "200").result()
    claims, members = volumes(rig), ids(rig)
    away = [machine for machine, zone in zones.items() if zone == "a"]
    for machine in away:
        kubectl("cordon", machine)
    try:
        kubectl(
            "-n", OPERATOR_NAMESPACE, "rollout", "restart", "deployment/countercluster-operator"
        )
        rollout = ("rollout", "status", "deployment/countercluster-operator", "--timeout=100s")
        kubectl("-n", OPERATOR_NAMESPACE, *rollout, seconds=110)
    finally:
        for machine in away:
            kubectl("uncordon", machine)
    with contextlib.ExitStack() as stack:
        for machine in away:
            stack.enter_context(cut_off(machine))
        outage = "2 of 2 machines of zone a are not ready, which is an outage"
        wait_for_reason(rig.space, "clicks", "QuorumLost", outage, seconds=waits.MACHINE_LOST)
        hold(LOST_AFTER_S * 3, "a volume is gone", lambda: volumes(rig) == claims)
    rig.counters.wait_settled(3, waits.MACHINE_LOST)
    assert (volumes(rig), ids(rig)) == (claims, members)
    assert rig.values("zone") == {str(books["final"])}


@pytest.mark.disturbs_operator
@pytest.mark.timeout(900)
def test_a_volume_that_is_to_be_retained_stays_when_its_machine_is_lost(rig: Rig) -> None:
    rig.patch(
        {"storage": {"retain": "Retain"}, "healing": {"replaceLostAfterSeconds": LOST_AFTER_S}}
    )
    rig.counters.wait_settled(3, waits.SCALED)
    machine = victim_machine(rig)
    pod = next(pod for pod in rig.counters.pod_names() if place(rig, pod) == machine)
    claim, old = f"data-{pod}", ids(rig)[pod]
    volume = (rig.space.get("persistentvolumeclaims", claim) or {})["spec"]["volumeName"]
    load = rig.load("retained", *LONG)
    load.wait_counting()
    try:
        docker("kill", machine)

        def lack() -> str:
            now = ids(rig)
            return (
                rig.counters.lack(3)
                if now.get(pod, old) != old
                else f"{pod} is not replaced: {rig.status().get('step')}"
            )

        wait("the member to be replaced elsewhere", waits.MACHINE_LOST, lack)
        kept = API.get(f"/api/v1/persistentvolumes/{volume}")
        assert kept is not None, "the volume is gone"
        assert kept["status"]["phase"] == "Released"
        assert kept["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
        labels = kept["metadata"]["labels"]
        assert labels["countercluster.io/claim"] == claim
        assert labels["countercluster.io/namespace"] == rig.space.name
        rig.check("retained", load, 10.0)
    finally:
        docker("start", machine)
        wait(f"{machine} to be back", waits.MACHINE_BACK, lambda: machine_lack(machine))
        rig.patch({"storage": {"retain": "Delete"}})
        kubectl("delete", "pv", volume, "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"image": "nosuch/image:1"}, "ImagePullBackOff", "nosuch/image:1"),
        ({"storage": {"storageClassName": "nosuch"}}, "ProvisioningFailed", '"nosuch" not found'),
    ],
)
def test_what_does_not_exist_is_reported_at_the_first_formation_and_can_be_mended(
    space: Namespace, plugin_path: None, spec: Object, reason: str, words: str
) -> None:
    counters = CounterCluster(space, "first")
    space("apply", "-f", "-", stdin=manifest("first", spec))
    wait_for_reason(space, "first", reason, words)
    assert reason in space("get", "cc", "first")
    assert words in space("get", "cc", "first", "-o", "wide")
    status = " ".join(kubectl("counters", "-n", space.name, "status", "first").split())
    assert reason in status
    assert words in status
    if "storage" in spec:  # the one thing that cannot be changed
        assert "storageClassName cannot be changed" in space(
            "apply", "-f", "-", stdin=manifest("first", {}), check=False
        )
        space("delete", "cc", "first")
    space("apply", "-f", "-", stdin=manifest("first", {}))
    counters.wait_settled(3, waits.READY)


def test_a_quota_that_forbids_the_pods_is_reported_and_raised(
    space: Namespace, plugin_path: None
) -> None:
    space("create", "quota", "small", "--hard=pods=2")
    space("apply", "-f", "-", stdin=manifest("first", {"cache": {"enabled": False}}))
    wait_for_reason(space, "first", "FailedCreate", "exceeded quota: small")
    assert "FailedCreate" in space("get", "cc", "first")
    assert "exceeded quota: small" in " ".join(
        kubectl("counters", "-n", space.name, "status", "first").split()
    )
    space("delete", "quota", "small")
    CounterCluster(space, "first").wait_settled(3, waits.READY)


def test_limits_that_a_namespace_adds_make_no_endless_apply(space: Namespace) -> None:
    limits = {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "60m"}}
    limit_range = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "usual"},
        "spec": {"limits": [limits]},
    }
    space("apply", "-f", "-", stdin=json.dumps(limit_range))
    space("apply", "-f", "-", stdin=manifest("first", {}))
    counters = CounterCluster(space, "first")
    counters.wait_settled(3, waits.READY, cache=True)
    (container,) = counters.pods()[0]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == "1"

    def versions() -> dict[str, int]:
        kinds = ("statefulsets", "deployments", "services", "secrets")
        return {
            f"{kind}/{one['metadata']['name']}": one["metadata"].get("generation", 1)
            for kind in kinds
            for one in space.list(kind)
        }

    before, pods = versions(), counters.uids()
    hold(
        20, "something was written again", lambda: versions() == before and counters.uids() == pods
    )


# What is there may be changed (CREATE alone fails): a claim that nobody may change would never go.
HOOKS = {
    "services": [("", ["services"]), ("", ["events"]), ("events.k8s.io", ["events"])],
    "pods": [("", ["pods"])],
    "claims": [("", ["persistentvolumeclaims"])],
}


@pytest.fixture
def hooked(rig: Rig) -> Iterator[Callable[[str], None]]:
    """Puts a failing webhook in force; takes it away in the end."""
    made: list[str] = []

    def make(which: str) -> None:
        made.append(which)
        kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps(failing(f"e2e-{which}", rig.space.name, HOOKS[which])),
        )

        def lack() -> str:
            sample = {"services": "service", "pods": "pod", "claims": "pvc"}[which]
            bodies: Object = {
                "service": {"spec": {"ports": [{"port": 1}]}},
                "pod": {"spec": {"containers": [{"name": "a", "image": "a"}]}},
                "pvc": {
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Mi"}},
                    }
                },
            }
            kind = {"service": "Service", "pod": "Pod", "pvc": "PersistentVolumeClaim"}[sample]
            body = {
                "apiVersion": "v1",
                "kind": kind,
                "metadata": {"name": "sample"},
                **bodies[sample],
            }
            said = rig.space(
                "create", "--dry-run=server", "-f", "-", stdin=json.dumps(body), check=False
            )
            return "" if "failing.example.com" in said else said

        wait("the webhook to be in force", 60, lack)

    yield make
    for which in made:
        kubectl("delete", "validatingwebhookconfiguration", f"e2e-{which}", "--ignore-not-found")


def test_a_webhook_that_fails_for_services_and_events_stops_nothing_else(
    rig: Rig, hooked: Callable[[str], None]
) -> None:
    load = rig.load("hook-services", *LONG)
    load.wait_counting()
    lost = next(pod for pod in rig.counters.pod_names() if pod != rig.counters.wait_leader())
    old = ids(rig)[lost]
    hooked("services")
    rig.space("delete", "service", "clicks-cache")
    wait_for_reason(
        rig.space, "clicks", "ChildRefused", "Service clicks-cache", "failing.example.com"
    )
    rig.space("delete", "pvc", f"data-{lost}", "--wait=false")
    rig.space("delete", "pod", lost)
    wait(
        "the member to be replaced meanwhile",
        waits.REPLACED,
        lambda: "" if len(ids(rig)) == 3 and ids(rig)[lost] != old else "it is not",
    )
    rig.patch({"replicas": 4})

    def voters_lack() -> str:
        voters = [member for member in rig.status()["members"] if member["role"] != "learner"]
        return "" if len(voters) == 4 else f"{len(voters)} voters; {rig.status().get('step')}"

    wait("a fourth voter meanwhile", waits.SCALED, voters_lack)
    assert ready(rig.space, "clicks")["reason"] == "ChildRefused"
    kubectl("delete", "validatingwebhookconfiguration", "e2e-services")
    rig.counters.wait_settled(4, waits.RECOVERED)
    rig.patch({"replicas": 3})
    rig.counters.wait_settled(3, waits.SCALED, cache=True)
    rig.check("hook-services", load, waits.GAP)


@pytest.mark.parametrize("which", ["pods", "claims"])
def test_a_webhook_that_fails_for_what_a_member_needs_is_reported_and_got_over(
    rig: Rig, hooked: Callable[[str], None], which: str
) -> None:
    load = rig.load(f"hook-{which}", *LONG)
    load.wait_counting()
    lost = next(pod for pod in rig.counters.pod_names() if pod != rig.counters.wait_leader())
    hooked(which)
    if which == "claims":
        rig.space("delete", "pvc", f"data-{lost}", "--wait=false")
    rig.space("delete", "pod", lost)
    wait_for_reason(
        rig.space, "clicks", "FailedCreate", "failing.example.com", seconds=waits.RECOVERED
    )
    assert rig.status()["leader"]
    kubectl("delete", "validatingwebhookconfiguration", f"e2e-{which}")
    rig.counters.wait_settled(3, waits.REPLACED)
    rig.check(f"hook-{which}", load, waits.GAP)
