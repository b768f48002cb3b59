"""What the tests of surroundings do to machines and namespaces, and how they wait for the report of
it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator

from examples.demo_counters import CounterCluster
from examples.demo_kube import API, Namespace, Object, condition, kubectl, wait
from tests.e2e import waits
from tests.e2e.rig import Rig

LONG = ("--connections", "4", "--rate", "100", "--seconds", "500")
LOST_AFTER_S = 10
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def hold(seconds: float, otherwise: str, holds: Callable[[], bool]) -> None:
    """It is so for all of that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert holds(), otherwise
        time.sleep(0.5)


def volumes(rig: Rig) -> dict[str, str]:
    return {
        claim["metadata"]["name"]: claim["metadata"]["uid"]
        for claim in rig.space.list("persistentvolumeclaims")
    }


def ids(rig: Rig) -> dict[str, str]:
    return {pod: status["nodeId"] for pod, status in rig.counters.node_statuses().items()}


def ready(space: Namespace, name: str) -> Object:
    return condition(CounterCluster(space, name).get() or {}, "Ready")


def wait_for_reason(
    space: Namespace, name: str, reason: str, *words: str, seconds: float = waits.REPORTED
) -> str:
    """Until `Ready` has this reason and the words; its message."""

    def lack() -> str:
        now = ready(space, name)
        there = now.get("reason") == reason and all(word in now["message"] for word in words)
        return "" if there else f"Ready is {now.get('reason')}: {now.get('message')}"

    wait(f"{name}: {reason}", seconds, lack)
    return str(ready(space, name)["message"])


def milli(cpu: str) -> int:
    return int(cpu[:-1]) if cpu.endswith("m") else int(float(cpu) * 1000)


def free_milli(machine: str) -> int:
    """CPU of a machine that nobody has asked for."""
    node = API.get(f"/api/v1/nodes/{machine}") or {}
    pods = API.items("/api/v1/pods", {"fieldSelector": f"spec.nodeName={machine}"})
    asked = [
        container.get("resources", {}).get("requests", {}).get("cpu", "0")
        for pod in pods
        if pod["status"]["phase"] in ("Pending", "Running")
        for container in pod["spec"]["containers"]
    ]
    return milli(node["status"]["allocatable"]["cpu"]) - sum(map(milli, asked))


def filler(machine: str) -> str:
    """A pod that takes all but 10 m of a machine, also of one that is cordoned."""
    container = {
        "name": "filler",
        "image": "countercluster/tools:dev",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "resources": {"requests": {"cpu": f"{free_milli(machine) - 10}m"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "filler", "labels": {"app": "filler"}},
        "spec": {
            "nodeSelector": {HOSTNAME: machine},
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
        },
    }
    return json.dumps(pod)


@contextlib.contextmanager
def cordoned(rig: Rig, machine: str, pod: str) -> Iterator[None]:
    kubectl("cordon", machine)
    try:
        rig.space("delete", "pod", pod, "--wait=false")
        yield
    finally:
        kubectl("uncordon", machine)


@contextlib.contextmanager
def full(rig: Rig, machine: str, pod: str) -> Iterator[None]:
    """Somebody took its place while it was away."""
    try:
        with cordoned(rig, machine, pod):

            def lack() -> str:
                scheduled = condition(rig.space.get("pods", pod) or {}, "PodScheduled")
                return (
                    ""
                    if scheduled.get("status") == "False"
                    else f"PodScheduled is {scheduled.get('status')}"
                )

            wait(f"{pod} to find no machine", waits.RECOVERED, lack)
            rig.space("apply", "-f", "-", stdin=filler(machine))
            rig.space("wait", "--for=condition=Ready", "pod/filler", "--timeout=60s", seconds=70)
        yield
    finally:
        rig.space("delete", "pod", "filler", "--ignore-not-found")


@contextlib.contextmanager
def tainted(rig: Rig, machine: str, pod: str) -> Iterator[None]:
    """Everything that does not tolerate it is sent away at once."""
    kubectl("taint", "node", machine, "example.com/repair=yes:NoExecute")
    try:
        yield
    finally:
        kubectl("taint", "node", machine, "example.com/repair-")


def member_alone(rig: Rig) -> tuple[str, str]:
    """A member whose machine has nothing that the test stands on, and that machine."""
    tools = (rig.space.get("pods", "tools") or {})["spec"]["nodeName"]
    places = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in rig.counters.pods()}
    found = [
        (pod, machine)
        for pod, machine in places.items()
        if machine != tools and list(places.values()).count(machine) == 1
    ]
    assert found, f"no member is alone on its machine: {places}, tools on {tools}"
    return found[-1]
