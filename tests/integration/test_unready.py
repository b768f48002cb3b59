"""What clients meet at a node that is cut off: an answer at once, and then the way to another
node."""

from __future__ import annotations

import contextlib
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.devcluster import DevCluster
from tests.support.raw import Wire

LIMIT_S = 150.0


@contextlib.contextmanager
def alone(tmp_path: Path, *options: str) -> Iterator[tuple[DevCluster, int]]:
    """A follower of three, and the others stand still from the moment on at which `follower` is
    used."""
    with DevCluster(tmp_path / "c", 3, *options) as cluster:
        node = (cluster.leader() + 1) % 3
        try:
            yield cluster, node
        finally:
            for other in {0, 1, 2} - {node}:
                cluster.signal(other, signal.SIGCONT)


def stop_others(cluster: DevCluster, node: int) -> None:
    for other in {0, 1, 2} - {node}:
        cluster.signal(other, signal.SIGSTOP)


def page(cluster: DevCluster, node: int, path: str) -> int:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{cluster.ports(node)['http']}{path}", timeout=10
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_without_a_quorum_the_thousandth_command_is_refused_at_once(tmp_path: Path) -> None:
    with (
        alone(tmp_path, "--patience-ms", "600", "--unready-close-s", "0") as (cluster, node),
        Wire(cluster.resp_port(node)) as wire,
    ):
        assert wire("INCR", "k") == 1
        stop_others(cluster, node)
        end = time.monotonic() + LIMIT_S
        while cluster.status(node)["leaderId"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert wire("INCR", "k")[1].split()[0] in ("LOADING", "UNKNOWN")
        while not wire("GET", "k")[1].startswith("LOADING"):
            assert time.monotonic() < end
        # Each of them would have waited for 600 ms; together they take less than a few of them
        # would have.
        start = time.monotonic()
        for command in (
            ("INCR", "k"),
            ("GET", "k"),
            ("MGET", "k", "l"),
            ("SET", "l", 1),
            ("IDMP", "p", 1, "INCR", "k"),
        ):
            for _ in range(200):
                assert wire(*command)[1].startswith("LOADING no leader known")
        assert time.monotonic() - start < 120
        for other in {0, 1, 2} - {node}:
            cluster.signal(other, signal.SIGCONT)
        while isinstance(value := wire("INCR", "k"), tuple):
            assert value[1].split()[0] in ("LOADING", "UNKNOWN")
            assert time.monotonic() < end + LIMIT_S
            time.sleep(0.05)


def test_a_node_that_is_cut_off_lets_its_clients_go_and_takes_them_back(tmp_path: Path) -> None:
    with (
        alone(tmp_path, "--unready-close-s", "1") as (cluster, node),
        contextlib.ExitStack() as stack,
    ):
        pool = [stack.enter_context(Wire(cluster.resp_port(node), timeout_s=60)) for _ in range(12)]
        assert [wire("INCR", "k") for wire in pool] == list(range(1, 13))
        stop_others(cluster, node)
        for wire in pool[:2]:
            wire.send("INCR", "k")  # in flight, or refused, when the node lets go
        for wire in pool[:2]:
            assert wire.read()[1].split()[0] in ("LOADING", "UNKNOWN"), (
                "a connection with a write in flight is not closed"
            )
        for wire in pool:
            with contextlib.suppress(ConnectionError):
                while True:
                    wire.read()
        refused = Wire(cluster.resp_port(node), timeout_s=60)
        refused.send("PING")
        try:
            assert refused.read()[1].startswith("LOADING this node is not ready for")
            assert refused.read() is None, "closed"
        except ConnectionError:
            pass
        assert (page(cluster, node, "/livez"), page(cluster, node, "/readyz")) == (200, 503)
        assert not cluster.status(node)["ready"]
        for other in {0, 1, 2} - {node}:
            cluster.signal(other, signal.SIGCONT)
        cluster.wait_ready()
        end = time.monotonic() + LIMIT_S
        while True:
            with contextlib.suppress(ConnectionError), Wire(cluster.resp_port(node)) as again:
                if isinstance(again("INCR", "k"), int):
                    break
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_leader_that_is_cut_off_sends_clients_of_clusters_elsewhere(tmp_path: Path) -> None:
    """For longer than the limit, on old connections and on new ones: some clients leave a master
    for MOVED and nothing else."""
    with DevCluster(tmp_path / "c", 3, "--unready-close-s", "1", cluster_mode=True) as cluster:
        node = cluster.leader()
        others = {0, 1, 2} - {node}
        ports = {cluster.cluster_port(other) for other in others}
        with Wire(cluster.cluster_port(node), timeout_s=60) as old:
            assert old("INCR", "k") == 1
            stop_others(cluster, node)
            try:
                end = time.monotonic() + LIMIT_S
                while not old("GET", "k")[1].startswith(
                    "MOVED "
                ):  # it waits as long as nobody knows
                    assert time.monotonic() < end
                while (
                    cluster.status(node)["ready"]
                    or page(cluster, node, "/readyz") == 200
                    or not refused(cluster.resp_port(node))
                ):
                    assert time.monotonic() < end
                    time.sleep(0.05)
                with Wire(cluster.cluster_port(node), timeout_s=60) as new:
                    new("HELLO", "3")
                    for wire in (old, new):
                        assert wire("PING") == "PONG"
                        assert int(wire("SET", "k", 7)[1].rpartition(":")[2]) in ports
                    master, *replicas = new("CLUSTER", "SLOTS")[0][2:]
                    assert master[1] in ports
                    assert cluster.cluster_port(node) in {replica[1] for replica in replicas}
            finally:
                for other in others:
                    cluster.signal(other, signal.SIGCONT)


def refused(port: int) -> bool:
    """Whether the plain port lets nobody in any more."""
    with contextlib.suppress(ConnectionError), Wire(port, timeout_s=60) as wire:
        answer = wire("PING")
        return isinstance(answer, tuple) and str(answer[1]).startswith(
            "LOADING this node is not ready"
        )
    return False


def test_a_silent_client_of_a_ready_node_is_kept(tmp_path: Path) -> None:
    with (
        DevCluster(tmp_path / "c", 1, "--unready-close-s", "1") as cluster,
        Wire(cluster.resp_port(0)) as wire,
    ):
        time.sleep(1.7)  # longer than the limit: a ready node keeps a silent client
        assert wire("INCR", "k") == 1
        assert cluster.status(0)["ready"]
