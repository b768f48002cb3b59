"""Exactly once, from the client's side: connections cut at every byte of a request and of its
reply, and leaders that are killed meanwhile.

A counter must have grown by exactly what was acknowledged. One more is a command that was executed
twice, one less a lost one."""

from __future__ import annotations

import contextlib
import random
import re
import secrets
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from countercluster import Batch, CounterError, OutcomeUnknown

from tests.support.devcluster import DevCluster
from tests.support.faces import FACES
from tests.support.proxy import Cut, Proxy

QUIET: dict[str, Any] = {"discover": False, "driver_info": None}
"""Nothing is sent on a new connection before the command itself, so that a position in the stream
is a position in the command."""
LONGEST_REQUEST, LONGEST_BATCH, LONGEST_REPLY, LONGEST_BATCH_REPLY = 75, 150, 8, 45
"""Bytes, rather more than there are."""
NEMESIS_S = 10.0


@pytest.fixture
def key() -> str:
    """Short: every byte of it is a connection."""
    return secrets.token_hex(2)


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    with DevCluster(tmp_path_factory.mktemp("cuts"), 3, "--tick-ms", "30") as running:
        yield running


def rotating(cluster: DevCluster) -> Any:
    """Ports so that each connection begins at another node."""
    turn = iter(range(10**9))

    def ports() -> list[int]:
        first = next(turn)
        return [cluster.resp_port((first + n) % cluster.size) for n in range(cluster.size)]

    return ports


def every(direction: str, longest: int, whole_reply: Callable[[], int]) -> Iterator[Cut]:
    """A cut at each byte, first 0; the connection after it ends when it has brought one whole
    reply, so that the next cut gets its turn."""
    for byte in range(longest):
        yield Cut(**{direction: byte})
        yield Cut(to_client=whole_reply())


SWEEP = pytest.mark.parametrize("direction", ["to_node", "to_client"])


@FACES
@SWEEP
def test_a_command_is_counted_once_whichever_byte_is_the_last(
    dying: DevCluster, key: str, face: Any, direction: str
) -> None:
    answers: list[int] = []
    longest = {"to_node": LONGEST_REQUEST, "to_client": LONGEST_REPLY}[direction]
    cuts = every(direction, longest, lambda: len(f":{len(answers) + 1}\r\n"))
    with Proxy(rotating(dying), cuts) as proxy, face(proxy.url, **QUIET) as counters:
        while proxy.made < 2 * longest:
            answers.append(counters.incr(key))
            assert len(answers) <= 2 * longest, f"{proxy.made} connections only"
        assert proxy.cut >= longest
        assert answers == list(range(1, len(answers) + 1))
        assert counters.get(key) == len(answers)


@FACES
@SWEEP
def test_a_batch_is_counted_once_whichever_byte_is_the_last(
    dying: DevCluster, key: str, face: Any, direction: str
) -> None:
    answers = 0
    longest = {"to_node": LONGEST_BATCH, "to_client": LONGEST_BATCH_REPLY}[direction]
    cuts = every(
        direction,
        longest,
        lambda: len(
            f"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:{answers + 1}\r\n:{-2 * answers - 2}\r\n"
        ),
    )
    with Proxy(rotating(dying), cuts) as proxy, face(proxy.url, **QUIET) as counters:
        while proxy.made < 2 * longest:
            answers += 1
            assert counters.execute(Batch().incr(key).decr(key + ":d", 2)) == [
                answers,
                -2 * answers,
            ]
            assert answers <= 2 * longest, f"{proxy.made} connections only"
        assert proxy.cut >= longest
        assert counters.mget([key, key + ":d"]) == [answers, -2 * answers]


@FACES
def test_lost_replies_and_lost_requests_leave_no_producer_behind(
    dying: DevCluster, key: str, face: Any
) -> None:
    """Every call ends without an answer, by a cut before or behind its execution; all go on as one
    producer."""
    before = producers(dying)
    cuts = (Cut(to_node=20) if turn % 2 else Cut(to_client=1) for turn in range(40))
    unknown = 0
    with (
        Proxy(rotating(dying), cuts) as proxy,
        face(proxy.url, deadline_s=0.01, connections=1, **QUIET) as counters,
    ):
        for _ in range(40):
            try:
                counters.incr(key)
            except CounterError as error:
                unknown += isinstance(error, OutcomeUnknown)
        assert unknown > 5
        counters.within(30).incr(key)
    made = producers(dying) - before
    assert made <= 2, f"{unknown} unknown outcomes made {made} producers"


def producers(cluster: DevCluster) -> int:
    """As the first node counts them, which has applied all that was answered before."""
    with cluster.client(0) as reader:
        reader.get("any")
    page = (
        urllib.request.urlopen(f"http://127.0.0.1:{cluster.ports(0)['http']}/metrics", timeout=10)
        .read()
        .decode()
    )
    found = re.search(r"^counter_producers (\d+)", page, re.MULTILINE)
    assert found is not None
    return int(found[1])


def random_cuts(seed: int) -> Iterator[Cut | None]:
    """Most connections end within a few commands, in one direction or the other."""
    chance = random.Random(seed)
    while True:
        kind = chance.random()
        if kind < 0.4:
            yield Cut(to_node=chance.randrange(1, 1_500))
        elif kind < 0.8:
            yield Cut(to_client=chance.randrange(0, 120))
        else:
            yield None


class Workers:
    """Threads that count with one client: three by single increments, two by pairs in a batch."""

    def __init__(self, counters: Any, key: str, seed: int) -> None:
        self._counters, self._key, self._seed = counters, key, seed
        self.singles: list[int] = []
        self.batches: list[int] = []
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(one,), daemon=True)
            for one in (self._single, self._single, self._single, self._batch, self._batch)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _repeat(self, one: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                one()
        except Exception as error:
            self.problems.append(f"seed {self._seed}: {error!r}")

    def _single(self) -> None:
        self.singles.append(self._counters.incr(self._key))

    def _batch(self) -> None:
        key = self._key + ":b"
        self.batches.extend(self._counters.execute(Batch().incr(key).incr(key)))


@FACES
def test_leaders_are_killed_and_connections_cut_and_every_increment_counts_once(
    dying: DevCluster, key: str, face: Any
) -> None:
    seed = random.randrange(1_000_000)
    with (
        Proxy(rotating(dying), random_cuts(seed)) as proxy,
        face(proxy.url, deadline_s=60.0, discover=False) as counters,
    ):
        workers = Workers(counters, key, seed)
        end = time.monotonic() + NEMESIS_S
        kills = 0
        while time.monotonic() < end:
            time.sleep(2.5)
            with contextlib.suppress(AssertionError):
                dying.signal(dying.leader(3), signal.SIGKILL)
                kills += 1
        workers.end()
        assert workers.problems == []
        assert kills >= 1
        assert proxy.cut > 10, f"only {proxy.cut} cuts"
    dying.wait_ready(30)
    with dying.client(0) as reader:
        for name, answers in ((key, workers.singles), (key + ":b", workers.batches)):
            assert sorted(answers) == list(range(1, len(answers) + 1)), f"seed {seed}"
            assert int(reader.get(name) or 0) == len(answers), f"seed {seed}"
