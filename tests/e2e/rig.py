"""What the end-to-end tests hold in their hands."""

from __future__ import annotations

import base64
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from examples.demo_counters import CounterCluster, Load, Tools
from examples.demo_kube import (
    OPERATOR_NAMESPACE,
    Namespace,
    Object,
    condition,
    kubectl,
    pod_ready,
    wait,
)
from tests.e2e import waits

FIGURES: dict[str, float] = {}
"""Seconds by what was measured; printed when the tests are over."""

STEADY = ("--connections", "6", "--rate", "200", "--seconds", "400")


def manifest(name: str, spec: Object) -> str:
    return json.dumps(
        {
            "apiVersion": "countercluster.io/v1alpha1",
            "kind": "CounterCluster",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def figure(what: str, seconds: float) -> None:
    FIGURES[what] = max(FIGURES.get(what, 0.0), seconds)


@dataclass
class Rig:
    """A CounterCluster, the pod from which it is used, and the loads that still run."""

    space: Namespace
    counters: CounterCluster
    tools: Tools
    loads: list[Load]

    def load(self, key: str, *words: str) -> Load:
        """A load through the client Service that counts already when this returns; at a steady pace
        by default."""
        load = self.tools.load(key, *(words or STEADY))
        self.loads.append(load)
        if not words:
            load.wait_counting()
        return load

    def values(self, key: str) -> set[str]:
        """What the nodes answer, asked each by its own name: one value when they agree."""
        return set(
            self.tools.values(
                key, [f"{pod}.{self.counters.name}-peers:6379" for pod in self.counters.pod_names()]
            ).values()
        )

    def wait_cached(self, key: str, value: int) -> float:
        address = f"{self.counters.name}-cache:6379"

        def lack() -> str:
            found = self.tools.values(key, [address])[address]
            return "" if found == str(value) else f"Redis has {found or 'nothing'}, not {value}"

        return wait(f"{key} in Redis", waits.CACHE, lack)

    def binding(self) -> Path:
        """A folder with what the Secret `<name>-client` has now."""
        secret = self.space.get("secrets", f"{self.counters.name}-client") or {}
        folder = Path(tempfile.mkdtemp(prefix="countercluster-binding-"))
        for key, value in secret["data"].items():
            (folder / key).write_bytes(base64.b64decode(value))
        return folder

    def patch(self, spec: Object) -> None:
        """Merges into the spec."""
        self.space(
            "patch", "cc", self.counters.name, "--type=merge", "-p", json.dumps({"spec": spec})
        )

    def status(self) -> Object:
        return dict((self.counters.get() or {}).get("status") or {})

    def wait_condition(self, which: str, status: str, reason: str, seconds: float) -> float:
        def lack() -> str:
            now = condition(self.counters.get() or {}, which)
            found = (now.get("status"), now.get("reason"))
            return "" if found == (status, reason) else f"{which} is {found}: {now.get('message')}"

        return wait(f"{which}={status} ({reason})", seconds, lack)

    def check(self, key: str, load: Load, longest_gap_s: float) -> None:
        """Ends the load: nothing lost, nothing doubled, one value everywhere, and no silence longer
        than that. The gap is printed at the end."""
        books = load.stop()
        gap = books["gap"]["lengthSeconds"]
        figure(f"longest gap: {key}", gap)
        assert self.values(key) == {str(books["final"])}
        assert gap <= longest_gap_s, (
            f"no acknowledgement for {gap} s, from {books['gap']['startSeconds']} s on"
        )

    def end_loads(self) -> None:
        for load in self.loads:
            load.abandon()
        self.loads.clear()


def operator_pods() -> dict[str, int]:
    """Name and restarts of each that is not just ending."""
    return {
        pod["metadata"]["name"]: sum(
            s["restartCount"] for s in pod["status"].get("containerStatuses", [])
        )
        for pod in Namespace(OPERATOR_NAMESPACE).list("pods")
        if "deletionTimestamp" not in pod["metadata"]
    }


def operator_lack() -> str:
    pods = Namespace(OPERATOR_NAMESPACE).list("pods")
    return (
        ""
        if pods and all(pod_ready(pod) for pod in pods)
        else f"{len(pods)} operator pods, not all ready"
    )


SIGNS = ('"level": "error"', '"level": "critical"', "pass failed", "Traceback")


def operator_said(since: str) -> list[str]:
    """Errors and failed passes in the operator's log since that moment (RFC 3339)."""
    logs = [
        kubectl("-n", OPERATOR_NAMESPACE, "logs", pod, f"--since-time={since}", check=False)
        for pod in operator_pods()
    ]
    return [
        line[:1000] for line in "\n".join(logs).splitlines() if any(sign in line for sign in SIGNS)
    ]


def change_operator(*changes: str) -> None:
    """`kubectl set env` or another change of the operator's Deployment, rolled out to the end."""
    kubectl("-n", OPERATOR_NAMESPACE, *changes)
    kubectl(
        "-n",
        OPERATOR_NAMESPACE,
        "rollout",
        "status",
        "deployment/countercluster-operator",
        "--timeout=100s",
        seconds=110,
    )
