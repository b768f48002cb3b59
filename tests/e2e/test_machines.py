"""Machines drained, killed and cut off; the operator dying at every write, at random, and for long.
Minutes each: `make e2e-all`."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable

import pytest

from examples.demo_kube import OPERATOR_NAMESPACE, Object, kubectl, wait
from tests.e2e import waits
from tests.e2e.machines import cut_off, docker, machine_lack, place, victim_machine, workers
from tests.e2e.rig import Rig, change_operator, figure, operator_lack, operator_pods

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LONG = ("--connections", "6", "--rate", "150", "--seconds", "800")


@pytest.mark.disturbs_operator
def test_every_worker_is_drained_in_turn(rig: Rig) -> None:
    load = rig.load("drain", *LONG)
    load.wait_counting()
    for worker in workers():
        # All but the pod that counts: its end would be the end of the test.
        words = (
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--timeout=120s",
            "--pod-selector=app!=tools",
        )
        kubectl("drain", worker, *words, seconds=130)
        healthy = rig.status()["conditions"]
        assert next(c for c in healthy if c["type"] == "QuorumHealthy")["status"] == "True"
        kubectl("uncordon", worker)
        wait("the operator", waits.OPERATOR, operator_lack)
        rig.counters.wait_settled(3, waits.SCALED)
    rig.check("drain", load, waits.GAP)


@pytest.mark.disturbs_operator
def test_a_machine_that_is_cut_off_counts_nothing_and_comes_back(rig: Rig) -> None:
    machine = victim_machine(rig)
    load = rig.load("cut-off", *LONG)
    load.wait_counting()
    with cut_off(machine):
        time.sleep(25)
    rig.counters.wait_settled(3, waits.RECOVERED)
    rig.check("cut-off", load, 10.0)


@pytest.mark.disturbs_operator
def test_the_operator_dies_once_after_every_write(make_rig: Callable[..., Rig]) -> None:
    """Failpoints: it starts again right after each child, each status, each step, and everything
    comes to its end."""
    change_operator("set", "env", "deployment/countercluster-operator", "FAILPOINTS=*")
    try:
        rig = make_rig("dies", {"replicas": 3, "storage": {"size": "64Mi"}})
        load = rig.load("k", *LONG)
        load.wait_counting()
        rig.patch({"replicas": 4})
        rig.counters.wait_settled(4, waits.SCALED)
        rig.patch({"replicas": 3, "settings": {"logLevel": "debug"}})
        rig.counters.wait_settled(3, waits.ROLLED + waits.SCALED)
        rig.check("k", load, waits.GAP)
        assert set(operator_pods().values()) == {0}
        logs = "".join(kubectl("-n", OPERATOR_NAMESPACE, "logs", pod) for pod in operator_pods())
        for place_ in (
            "after-StatefulSet",
            "after-status",
            "after-Bootstrap",
            "after-AddLearner",
            "after-Promote",
            "after-RemoveMember",
            "after-DeletePod",
        ):
            assert f"starting again at {place_}" in logs, f"{place_} was never reached"
    finally:
        change_operator("set", "env", "deployment/countercluster-operator", "FAILPOINTS-")


@pytest.mark.disturbs_operator
def test_the_operator_is_killed_at_random_while_everything_changes(rig: Rig) -> None:
    chosen = random.Random(11)
    load = rig.load("random-kills", *LONG)
    load.wait_counting()
    changes: list[Object] = [
        {"replicas": 5},
        {"settings": {"snapshotMiB": 32}},
        {"replicas": 1},
        {"replicas": 3},
        {"settings": {"snapshotMiB": 64}},
    ]
    for number, spec in enumerate(changes):
        rig.patch(spec)
        for _ in range(2):
            time.sleep(chosen.uniform(0.5, 6.0))
            wait(
                "an operator to kill",
                waits.OPERATOR,
                lambda: "" if operator_pods() else "there is none",
            )
            kubectl(
                "-n",
                OPERATOR_NAMESPACE,
                "delete",
                "pod",
                *operator_pods(),
                "--force",
                "--grace-period=0",
            )
        if number % 2:
            rig.counters.wait_settled(
                (rig.counters.get() or {})["spec"]["replicas"], waits.SCALED + waits.ROLLED
            )
    rig.counters.wait_settled(3, waits.SCALED + waits.ROLLED)
    wait("the operator", waits.OPERATOR, operator_lack)
    rig.check("random-kills", load, waits.GAP)


@pytest.mark.disturbs_operator
def test_counters_do_not_notice_five_minutes_without_an_operator(rig: Rig) -> None:
    load = rig.load("no-operator", *LONG)
    load.wait_counting()
    kubectl("-n", OPERATOR_NAMESPACE, "scale", "deployment/countercluster-operator", "--replicas=0")
    try:
        time.sleep(100)
        rig.space("delete", "pod", rig.counters.wait_leader())
        time.sleep(200)
    finally:
        kubectl(
            "-n", OPERATOR_NAMESPACE, "scale", "deployment/countercluster-operator", "--replicas=1"
        )
        wait("the operator", waits.OPERATOR, operator_lack)
    rig.counters.wait_settled(3, waits.RECOVERED)
    rig.check("no-operator", load, waits.HANDED_OVER)


def test_one_to_seven_and_back(rig: Rig) -> None:
    load = rig.load("one-to-seven", *LONG)
    load.wait_counting()
    for replicas in (1, 3, 5, 7, 3, 1):
        rig.space("scale", "cc/clicks", f"--replicas={replicas}")
        figure(f"scaled to {replicas}", rig.counters.wait_settled(replicas, waits.SCALED))
    rig.space("scale", "cc/clicks", "--replicas=3")
    rig.counters.wait_settled(3, waits.SCALED)
    rig.check("one-to-seven", load, waits.GAP)


def test_an_autoscaler_follows_the_load(rig: Rig) -> None:
    """With real metrics: `python3 kind/local.py metrics` puts metrics-server on the cluster."""
    subprocess.run(
        ["python3", "kind/local.py", "metrics"], check=True, capture_output=True, timeout=600
    )
    load = rig.load("follows", "--connections", "8", "--seconds", "800")
    load.wait_counting()
    rig.space("autoscale", "cc", "clicks", "--min=3", "--max=4", "--cpu=20%")
    try:
        figure("autoscaled to 4 by CPU", rig.counters.wait_settled(4, waits.MACHINE_LOST))
        said = rig.space(
            "get",
            "hpa",
            "clicks",
            "-o",
            'jsonpath={.status.conditions[?(@.type=="ScalingActive")].reason}',
        )
        assert said == "ValidMetricFound"
    finally:
        rig.space("delete", "hpa", "clicks")
    rig.check("follows", load, waits.GAP)


@pytest.mark.disturbs_operator
def test_a_killed_machine_costs_one_member_and_that_is_replaced(rig: Rig) -> None:
    """In the middle of scaling. The last test: members share machines afterwards."""
    rig.patch({"healing": {"replaceLostAfterSeconds": 15}})
    machine = victim_machine(rig)
    gone = [pod for pod in rig.counters.pod_names() if place(rig, pod) == machine]
    ids = {pod: rig.counters.node_statuses()[pod]["nodeId"] for pod in gone}
    load = rig.load("killed-machine", *LONG)
    load.wait_counting()
    start = time.monotonic()
    rig.patch({"replicas": 5})
    docker("kill", machine)
    try:

        def lack() -> str:
            now = rig.counters.node_statuses()
            old = [pod for pod in gone if pod not in now or now[pod]["nodeId"] == ids[pod]]
            return (
                f"not replaced: {old}; {rig.status().get('step')}" if old else rig.counters.lack(5)
            )

        wait("the member to be replaced elsewhere", waits.MACHINE_LOST, lack)
        figure("machine killed to full strength elsewhere", time.monotonic() - start)
    finally:
        docker("start", machine)
        wait(f"{machine} to be back", waits.MACHINE_BACK, lambda: machine_lack(machine))
        rig.patch({"replicas": 3, "healing": {"replaceLostAfterSeconds": 300}})
    rig.counters.wait_settled(3, waits.SCALED)
    rig.check("killed-machine", load, 10.0)
