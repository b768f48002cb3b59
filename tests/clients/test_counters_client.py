"""The exactly-once client against real nodes that die: every increment counts once, and the books
of the load generator balance."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import multiprocessing
import multiprocessing.queues
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from countercluster import (
    AsyncCounters,
    Batch,
    CounterError,
    Counters,
    LimitReached,
    OutcomeUnknown,
    Refused,
    load,
)

from tests.checkers.increments import check, from_load
from tests.support.devcluster import DevCluster
from tests.support.faces import FACES

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


@FACES
def test_bounds_hold_and_say_what_was_there(cluster: DevCluster, key: str, face: Any) -> None:
    with face(cluster.urls) as counters:
        counters.set(key, 3)
        assert counters.decr(key, 2, at_least=0) == 1
        with pytest.raises(LimitReached) as refused:
            counters.decr(key, 2, at_least=0)
        assert (refused.value.value, counters.get(key)) == (1, 1)
        assert counters.incr(key, 9, at_most=10) == 10
        with pytest.raises(LimitReached):
            counters.incr(key, at_most=10)
        assert counters.add_within(key, 50, at_most=12) == (12, 2)
        assert counters.add_within(key, -50, at_least=0) == (0, -12)


@FACES
def test_a_window_ends_by_itself(cluster: DevCluster, key: str, face: Any) -> None:
    with face(cluster.urls) as counters:
        assert [counters.incr(key, at_most=2, window_s=1.5) for _ in range(2)] == [1, 2]
        with pytest.raises(LimitReached):
            counters.incr(key, at_most=2, window_s=1.5)
        assert 0 < counters.ttl(key) <= 1.5
        end = time.monotonic() + 10
        while counters.get(key) is not None:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert counters.incr(key, at_most=2, window_s=1.5) == 1


@FACES
def test_the_other_calls(cluster: DevCluster, key: str, face: Any) -> None:
    with face(cluster.urls) as counters:
        assert counters.compare_and_set(key, None, 5)
        assert not counters.compare_and_set(key, None, 6)
        assert not counters.compare_and_set(key, 4, 6)
        assert counters.expire(key, 100)
        assert counters.compare_and_set(key, 5, 6)
        assert 90 < counters.ttl(key) <= 100
        assert counters.persist(key)
        assert counters.ttl(key) is None
        assert not counters.expire(key + ":none", 1)
        assert counters.mget([key, key + ":none", key]) == [6, None, 6]


@FACES
def test_a_batch_is_one_step_and_what_is_refused_stands_in_its_place(
    cluster: DevCluster, key: str, face: Any
) -> None:
    stock, sold = key + ":stock", key + ":sold"
    with face(cluster.urls) as counters:
        counters.set(stock, 1)
        assert counters.execute(Batch()) == []
        assert counters.execute(Batch().decr(stock, at_least=0).incr(sold)) == [0, 1]
        refused, after = counters.execute(Batch().decr(stock, at_least=0).incr(sold))
        assert isinstance(refused, LimitReached)
        assert after == 2
        counters.set(stock, 2**63 - 1)
        overflow, deleted = counters.execute(Batch().incr(stock).delete(sold))
        assert isinstance(overflow, Refused)
        assert "overflow" in str(overflow)
        assert deleted is True
        assert counters.execute(Batch().incr(sold)) == [1]


@FACES
def test_a_batch_that_is_too_long_for_its_answer_to_be_kept_is_executed_once(
    cluster: DevCluster, key: str, face: Any
) -> None:
    batch = Batch()
    for _ in range(3_000):
        batch.incr(key)
    with face(cluster.urls) as counters:
        assert counters.execute(batch) == list(range(1, 3_001))
        batch.commands *= 2
        with pytest.raises(CounterError, match="at most 5000"):
            batch.incr(key)


@FACES
def test_a_batch_that_the_cluster_does_not_take_changes_nothing(
    cluster: DevCluster, key: str, face: Any
) -> None:
    with face(cluster.urls) as counters:
        too_large = Batch().incr(key)
        for _ in range(4_500):
            too_large.incr("x" * 1_000)
        with pytest.raises(Refused, match="transaction of more than"):
            counters.execute(too_large)
        assert counters.get(key) is None
        assert counters.execute(Batch().incr(key)) == [1]


def test_many_calls_at_once_share_the_connections(cluster: DevCluster, key: str) -> None:
    async def count() -> list[int]:
        async with AsyncCounters(cluster.urls, connections=8) as counters:
            return await asyncio.gather(*(counters.incr(key) for _ in range(300)))

    assert sorted(asyncio.run(count())) == list(range(1, 301))


def test_a_call_that_is_cancelled_leaves_nothing_behind_for_the_next(
    cluster: DevCluster, key: str
) -> None:
    async def cancel_some() -> None:
        async with AsyncCounters(cluster.urls, connections=2) as counters:
            answers = 0
            for n in range(60):
                call = asyncio.create_task(counters.incr(key))
                await asyncio.sleep(n / 20_000)
                call.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    answers += 1 if await call else 0
            value = await counters.get(key) or 0
            assert answers <= value <= 60
            other = [await counters.incr(key + ":other") for _ in range(50)]
            assert other == list(range(1, 51))

    asyncio.run(cancel_some())


def test_a_refusal_is_definite_and_leaves_the_producer_in_step(
    cluster: DevCluster, key: str
) -> None:
    with Counters(cluster.urls) as counters:
        counters.set(key, 2**63 - 1)
        with pytest.raises(Refused, match="overflow"):
            counters.incr(key)
        counters.set(key, 1)
        assert counters.incr(key) == 2


def test_a_value_counted_through_one_node_is_read_through_every_other(
    cluster: DevCluster, key: str
) -> None:
    with contextlib.ExitStack() as stack:
        each = [stack.enter_context(Counters(url)) for url in cluster.urls]
        for answers in range(1, 31):
            assert each[answers % 3].incr(key) == answers
            assert [counters.get(key) for counters in each] == [answers] * 3


def test_a_repeated_sequence_gets_the_first_reply_on_every_node(
    cluster: DevCluster, key: str
) -> None:
    producer = secrets.token_hex(8)
    for node in range(cluster.size):
        assert cluster.client(node).execute_command("IDMP", producer, 1, "INCRBY", key, 5) == 5
    assert cluster.client(0).get(key) == b"5"


def test_every_increment_counts_once_through_a_kill_of_the_leader(
    cluster: DevCluster, key: str
) -> None:
    answers: list[int] = []
    stop = threading.Event()
    problems: list[Exception] = []

    def count(counters: Counters) -> None:
        try:
            while not stop.is_set():
                answers.append(counters.incr(key))
        except Exception as error:
            problems.append(error)

    with Counters(cluster.urls) as counters:
        workers = [threading.Thread(target=count, args=(counters,), daemon=True) for _ in range(4)]
        for worker in workers:
            worker.start()
        time.sleep(0.5)
        cluster.signal(cluster.leader(), signal.SIGKILL)
        before = len(answers)
        deadline = time.monotonic() + FAILOVER_S
        while len(answers) < before + 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        for worker in workers:
            worker.join(FAILOVER_S)
        assert problems == []
        assert len(answers) >= before + 200, (
            f"{len(answers) - before} increments in {FAILOVER_S} s after the kill\n{cluster.logs()}"
        )
        assert sorted(answers) == list(range(1, len(answers) + 1))
        assert counters.get(key) == len(answers)


@pytest.mark.parametrize("plain", [False, True], ids=["exact", "plain"])
def test_the_books_of_a_load_balance_through_a_kill_of_the_leader(
    cluster: DevCluster, key: str, plain: bool
) -> None:
    urls = [word for url in cluster.urls for word in ("--url", url)]
    words = [
        "--seconds",
        "5",
        "--read-every",
        "7",
        "--history",
        "--json",
        "--quiet",
        *(["--plain"] if plain else []),
    ]
    kill = threading.Timer(1.0, lambda: cluster.signal(cluster.leader(), signal.SIGKILL))
    kill.start()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = load.main([*urls, *words, "--key", key])
    kill.join()
    result = json.loads(printed.getvalue())
    assert code == load.BALANCED, {
        name: value for name, value in result.items() if name != "history"
    }
    assert plain or result["unknown"] == result["errors"] == 0, result["problems"]
    assert check(from_load(result["history"]), result["initial"]) is None


def test_a_cluster_without_a_majority_is_an_unknown_outcome_and_counts_at_most_once(
    cluster: DevCluster, key: str
) -> None:
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


@pytest.mark.parametrize("used", [True, False])
def test_a_forked_process_counts_by_itself(cluster: DevCluster, key: str, used: bool) -> None:
    """Gunicorn's workers, Celery's, multiprocessing's. They shared producer, sequence and socket
    with their parent: 81 increments were acknowledged, and 21 counted."""
    context = multiprocessing.get_context("fork")
    with Counters(cluster.urls) as counters, cluster.client(0) as plain:
        mine = [counters.incr(key)] if used else []
        found: multiprocessing.queues.Queue[list[int]] = context.Queue()

        def count() -> None:
            found.put([counters.incr(key) for _ in range(20)])

        children = [context.Process(target=count) for _ in range(4)]
        for child in children:
            child.start()
        mine += [counters.incr(key) for _ in range(20)]
        values = sorted(sum([found.get(timeout=60) for _ in children], mine))
        for child in children:
            child.join(60)
        assert values == list(range(1, len(values) + 1))
        assert int(plain.get(key) or 0) == len(values)


def test_counters_serve_one_event_loop_after_another_and_two_at_once(
    cluster: DevCluster, key: str
) -> None:
    """`asyncio.run` for each request, pytest-asyncio, a loop in each thread: a connection of an
    earlier loop raised RuntimeError once."""
    counters = AsyncCounters(cluster.urls)

    async def count(times: int) -> list[int]:
        return [await counters.incr(key) for _ in range(times)]

    found = asyncio.run(count(3)) + asyncio.run(count(3))
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(asyncio.run, count(20)) for _ in range(2)]
        found += both[0].result(60) + both[1].result(60)
    assert sorted(found) == list(range(1, 47))
    assert found[:6] == [1, 2, 3, 4, 5, 6]
    asyncio.run(counters.close())
