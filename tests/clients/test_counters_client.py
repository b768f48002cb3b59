"""The exactly-once client against real nodes that die: every increment counts once, and the books of the load generator balance."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from countercluster import Counters, OutcomeUnknown, Refused, load

from tests.checkers.increments import check, from_load
from tests.support.devcluster import DevCluster

FAILOVER_S = 15.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """A cluster of its own: its nodes die."""
    with DevCluster(tmp_path_factory.mktemp("dying")) as running:
        yield running


@pytest.fixture(autouse=True)
def _whole(cluster: DevCluster) -> None:
    cluster.wait_ready(30)


def test_counters_count(cluster: DevCluster, key: str) -> None:
    with Counters(cluster.urls) as counters:
        assert counters.get(key) is None
        assert [counters.incr(key), counters.incr(key, 10), counters.decr(key, 3)] == [1, 11, 8]
        assert counters.get(key) == 8
        counters.set(key, 100)
        assert counters.incr(key) == 101
        assert counters.delete(key)
        assert not counters.delete(key)


def test_a_refusal_is_definite_and_leaves_the_producer_in_step(cluster: DevCluster, key: str) -> None:
    with Counters(cluster.urls) as counters:
        counters.set(key, 2**63 - 1)
        with pytest.raises(Refused, match="overflow"):
            counters.incr(key)
        counters.set(key, 1)
        assert counters.incr(key) == 2


def test_a_value_counted_through_one_node_is_read_through_every_other(cluster: DevCluster, key: str) -> None:
    with contextlib.ExitStack() as stack:
        each = [stack.enter_context(Counters(url)) for url in cluster.urls]
        for told in range(1, 31):
            assert each[told % 3].incr(key) == told
            assert [counters.get(key) for counters in each] == [told] * 3


def test_a_repeated_sequence_gets_the_first_reply_on_every_node(cluster: DevCluster, key: str) -> None:
    producer = secrets.token_hex(8)
    for node in range(cluster.size):
        assert cluster.client(node).execute_command("IDMP", producer, 1, "INCRBY", key, 5) == 5
    assert cluster.client(0).get(key) == b"5"


def test_every_increment_counts_once_through_a_kill_of_the_leader(cluster: DevCluster, key: str) -> None:
    told: list[int] = []
    stop = threading.Event()
    problems: list[Exception] = []

    def count(counters: Counters) -> None:
        try:
            while not stop.is_set():
                told.append(counters.incr(key))
        except Exception as error:
            problems.append(error)

    with Counters(cluster.urls) as counters:
        workers = [threading.Thread(target=count, args=(counters,), daemon=True) for _ in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(0.5)
        cluster.signal(cluster.leader(), signal.SIGKILL)
        before = len(told)
        deadline = time.monotonic() + FAILOVER_S
        while len(told) < before + 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        for worker in workers:
            worker.join(FAILOVER_S)
        assert problems == []
        assert len(told) >= before + 200, f"{len(told) - before} increments in {FAILOVER_S} s after the kill\n{cluster.logs()}"
        assert sorted(told) == list(range(1, len(told) + 1))
        assert counters.get(key) == len(told)


@pytest.mark.parametrize("plain", [False, True], ids=["exact", "plain"])
def test_the_books_of_a_load_balance_through_a_kill_of_the_leader(cluster: DevCluster, key: str, plain: bool) -> None:
    urls = [word for url in cluster.urls for word in ("--url", url)]
    words = ["--seconds", "5", "--read-every", "7", "--history", "--json", "--quiet", *(["--plain"] if plain else [])]
    kill = threading.Timer(1.0, lambda: cluster.signal(cluster.leader(), signal.SIGKILL))
    kill.start()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = load.main([*urls, *words, "--key", key])
    kill.join()
    result = json.loads(printed.getvalue())
    assert code == load.BALANCED, {name: value for name, value in result.items() if name != "history"}
    assert plain or result["unknown"] == result["errors"] == 0, result["problems"]
    assert check(from_load(result["history"]), result["initial"]) is None


def test_a_cluster_without_a_majority_is_an_unknown_outcome_and_counts_at_most_once(cluster: DevCluster, key: str) -> None:
    with Counters(cluster.urls) as patient, Counters(cluster.urls, deadline_s=6.0) as counters:
        assert counters.incr(key) == 1
        leader = cluster.leader()
        others = [node for node in range(cluster.size) if node != leader]
        pids = [cluster.pid(node) for node in others]
        for node in others:
            cluster.signal(node, signal.SIGSTOP)
        try:
            with pytest.raises(OutcomeUnknown):
                counters.incr(key)
        finally:
            assert [cluster.pid(node) for node in others] == pids
            for node in others:
                cluster.signal(node, signal.SIGCONT)
        assert patient.incr(key) in (2, 3)
