"""Machines of the local cluster, as tests take them away: containers of Docker that stop, or whose
network does."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from examples.demo_counters import TOOLS
from examples.demo_kube import API, OPERATOR_NAMESPACE, Object, condition, kubectl, wait
from tests.e2e import waits
from tests.e2e.rig import Rig


def docker(*words: str, check: bool = True) -> None:
    subprocess.run(["docker", *words], check=check, capture_output=True, timeout=90)


def workers() -> list[str]:
    return sorted(
        n["metadata"]["name"]
        for n in API.items("/api/v1/nodes")
        if "node-role.kubernetes.io/control-plane" not in n["metadata"]["labels"]
    )


def machine_lack(name: str) -> str:
    node: Object = API.get(f"/api/v1/nodes/{name}") or {}
    return "" if condition(node, "Ready").get("status") == "True" else f"{name} is not ready"


WAYS = (("INPUT", "-i"), ("FORWARD", "-i"), ("FORWARD", "-o"), ("OUTPUT", "-o"))


def rules(worker: str, what: str, *, check: bool = True) -> None:
    """`what`: -I or -D. All at once, as each exec takes seconds on a busy machine; the kubelet may
    use IPv6."""
    lines = [
        f"{table} {what} {chain} {way} eth0 -j DROP"
        for table in ("iptables", "ip6tables")
        for chain, way in WAYS
    ]
    docker("exec", worker, "sh", "-c", (" && " if check else "; ").join(lines), check=check)


@contextlib.contextmanager
def cut_off(worker: str) -> Iterator[None]:
    """Nothing comes in or goes out by its network; what runs on it goes on."""
    try:
        rules(worker, "-I")
        yield
    finally:
        rules(worker, "-D", check=False)
        wait(f"{worker} to be back", waits.MACHINE_BACK, lambda: machine_lack(worker))


def place(rig: Rig, pod: str) -> str:
    return str(
        next(p["spec"]["nodeName"] for p in rig.counters.pods() if p["metadata"]["name"] == pod)
    )


def victim_machine(rig: Rig) -> str:
    """One with a member, and with nothing that the test itself stands on; those are moved onto one
    machine first."""
    counting = rig.space.get("pods", TOOLS)
    assert counting is not None
    tools = counting["spec"]["nodeName"]
    for name in workers():
        if name != tools:
            kubectl("cordon", name)
    try:
        for space, deployment in (
            (OPERATOR_NAMESPACE, "countercluster-operator"),
            ("local-path-storage", "local-path-provisioner"),
            ("kube-system", "coredns"),
        ):
            kubectl("-n", space, "rollout", "restart", f"deployment/{deployment}")
            kubectl(
                "-n",
                space,
                "rollout",
                "status",
                f"deployment/{deployment}",
                "--timeout=100s",
                seconds=110,
            )
    finally:
        for name in workers():
            kubectl("uncordon", name)
    places = [place(rig, pod) for pod in rig.counters.pod_names()]
    alone = [name for name in workers() if name != tools and places.count(name) == 1]
    assert alone, f"members are on {places}: no machine has just one"
    leader = place(rig, rig.counters.wait_leader())
    return leader if leader in alone else alone[0]
