"""What clients are promised: one value everywhere, each acknowledged increment exactly once,
whatever dies."""

from __future__ import annotations

import os
import random
import shutil
import subprocess

import redis

from examples.demo_kube import Object, port_forward
from tests.e2e import waits
from tests.e2e.rig import Rig


def test_an_empty_spec_becomes_ready(fresh: tuple[Rig, float]) -> None:
    rig, seconds = fresh
    assert seconds < waits.READY
    assert rig.counters.pod_names() == ["clicks-0", "clicks-1", "clicks-2"]
    assert "clicks" in rig.space("get", "cc,pods")
    assert len({pod["spec"]["nodeName"] for pod in rig.counters.pods()}) == 3, (
        "the members share a worker"
    )


def test_every_node_and_redis_agree_on_a_thousand_increments(rig: Rig) -> None:
    books = rig.load("thousand", "--connections", "8", "--count", "1000").result()
    assert books["delta"] == 1000
    assert rig.values("thousand") == {str(books["final"])}
    rig.wait_cached("thousand", books["final"])


def kill_9(pod: Object) -> None:
    """Of the pod's first process, from outside: from inside, the kernel protects it."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    words = [
        "docker",
        "exec",
        pod["spec"]["nodeName"],
        "ctr",
        "-n",
        "k8s.io",
        "tasks",
        "kill",
        "-s",
        "SIGKILL",
        container,
    ]
    subprocess.run(words, check=True, capture_output=True, timeout=30)


def test_nothing_is_lost_or_doubled_when_the_leaders_process_is_killed(rig: Rig) -> None:
    load = rig.load("kill-nine")
    leader = rig.counters.wait_leader()
    kill_9(next(pod for pod in rig.counters.pods() if pod["metadata"]["name"] == leader))
    rig.counters.wait_leader(other_than=leader, seconds=waits.LEADER)
    rig.counters.wait_settled(3, waits.RECOVERED)
    rig.check("kill-nine", load, waits.GAP)


def test_nothing_is_lost_or_doubled_when_random_pods_are_deleted(rig: Rig) -> None:
    """The last round takes two of three pods at once: without a quorum clients wait, they are
    answered nothing wrong."""
    chosen = random.Random(7)
    load = rig.load("random-pods")
    for victims in (1, 1, 2):
        pods = chosen.sample(rig.counters.pod_names(), victims)
        rig.space("delete", "pod", *pods, "--force", "--grace-period=0")
        rig.counters.wait_settled(3, waits.RECOVERED)
    books = load.stop()
    assert rig.values("random-pods") == {str(books["final"])}


def test_redis_is_filled_again_after_its_pod_was_deleted(rig: Rig) -> None:
    books = rig.load("refill", "--count", "50").result()
    rig.wait_cached("refill", books["final"])
    name = next(
        pod["metadata"]["name"]
        for pod in rig.space.list("pods")
        if pod["metadata"]["name"].startswith("clicks-cache-")
    )
    rig.space("delete", "pod", name, "--force", "--grace-period=0")
    rig.wait_cached("refill", books["final"])


def test_stock_clients_work_through_a_port_forward(rig: Rig) -> None:
    folder = rig.binding()
    password, authorities = (folder / "password").read_text(), str(folder / "ca.crt")
    with port_forward(rig.space, "svc/clicks", 6379) as port:
        with redis.Redis(
            port=port,
            ssl=True,
            ssl_ca_certs=authorities,
            password=password,
            decode_responses=True,
            socket_timeout=10,
        ) as client:
            assert client.ping()
            client.delete("stock")
            assert client.incr("stock") == 1
            assert client.incrby("stock", 41) == 42
            assert client.get("stock") == "42"
            with client.pipeline(transaction=False) as pipe:
                assert pipe.decr("stock").decr("stock").get("stock").execute() == [41, 40, "40"]
            assert client.set("stock", 5)
            assert client.mget("stock", "never-set") == ["5", None]
            assert client.delete("stock") == 1
            assert client.get("stock") is None
        if shutil.which("redis-cli"):
            words = "INCR cli\nINCRBY cli 4\nNOSUCH x\nGET cli\nDEL cli\n"
            secure = ["redis-cli", "-p", str(port), "--tls", "--cacert", authorities]
            said = subprocess.run(
                secure,
                input=words,
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
                env={**os.environ, "REDISCLI_AUTH": password},
            )
            answers = [line for line in said.stdout.splitlines() if line]
            assert answers[:2] == ["1", "5"]
            assert answers[2].startswith("ERR unknown command")
            assert answers[-2:] == ["5", "1"]


def test_redis_cli_works_through_the_service(rig: Rig) -> None:
    password = (rig.binding() / "password").read_text()
    here = ("exec", "deploy/clicks-cache", "--", "redis-cli", "--no-auth-warning", "-a", password)
    cli = (*here, "-h", "clicks", "--tls", "--cacert", "/secrets/ca.crt")
    rig.space(*cli, "DEL", "cli")
    assert rig.space(*cli, "INCRBY", "cli", "7").strip() == "7"
    assert rig.space(*cli, "GET", "cli").strip() == "7"
