"""What the end-to-end tests hold in their hands."""

from __future__ import annotations

import json
from dataclasses import dataclass

from examples.demo_counters import CounterCluster, Load, Tools
from examples.demo_kube import OPERATOR_NAMESPACE, Namespace, Object, pod_ready, wait
from tests.e2e import waits

STEADY = ("--connections", "6", "--rate", "200", "--seconds", "400")


def manifest(name: str, spec: Object) -> str:
    return json.dumps({"apiVersion": "countercluster.io/v1alpha1", "kind": "CounterCluster", "metadata": {"name": name}, "spec": spec})


@dataclass
class Rig:
    """A CounterCluster, the pod from which it is used, and the loads that still run."""

    space: Namespace
    counters: CounterCluster
    tools: Tools
    loads: list[Load]

    def load(self, key: str, *words: str) -> Load:
        """A load through the client Service that counts already when this returns; at a steady pace unless told otherwise."""
        load = self.tools.load(key, f"redis://{self.counters.name}:6379", *(words or STEADY))
        self.loads.append(load)
        if not words:
            load.wait_counting()
        return load

    def values(self, key: str) -> set[str]:
        """What the nodes answer, asked each by its own name: one value when they agree."""
        return set(self.tools.values(key, [f"{pod}.{self.counters.name}-peers:6379" for pod in self.counters.pod_names()]).values())

    def wait_cached(self, key: str, value: int) -> float:
        address = f"{self.counters.name}-cache:6379"

        def lack() -> str:
            found = self.tools.values(key, [address])[address]
            return "" if found == str(value) else f"Redis has {found or 'nothing'}, not {value}"

        return wait(f"{key} in Redis", waits.CACHE, lack)

    def end_loads(self) -> None:
        for load in self.loads:
            load.abandon()
        self.loads.clear()


def operator_pods() -> dict[str, int]:
    """Name and restarts of each."""
    return {
        pod["metadata"]["name"]: sum(s["restartCount"] for s in pod["status"].get("containerStatuses", []))
        for pod in Namespace(OPERATOR_NAMESPACE).list("pods")
    }


def operator_lack() -> str:
    pods = Namespace(OPERATOR_NAMESPACE).list("pods")
    return "" if pods and all(pod_ready(pod) for pod in pods) else f"{len(pods)} operator pods, not all ready"
