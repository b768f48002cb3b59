"""One big thing at a time against real nodes, below and above each limit: the leader keeps its
term, others go on, and what is too large is refused with the limit and the remedy."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest

from tests.support.devcluster import DevCluster
from tests.support.raw import Wire

MANY = 100_000
COMMANDS = 30_000
PATIENT_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """Elections are slow enough for a machine that is shared with many others; what is refused by
    all for ever costs any term."""
    options = (
        "--election-ticks",
        "60",
        "--snapshot-bytes",
        str(256 << 20),
        "--max-entry-bytes",
        str(1 << 20),
    )
    with DevCluster(tmp_path_factory.mktemp("floods"), 3, *options) as started:
        yield started


@contextlib.contextmanager
def undisturbed(cluster: DevCluster) -> Iterator[None]:
    """The leader keeps its term, and another client's increments go on, each counted once."""
    leader = cluster.leader()
    before = cluster.status(leader)
    over = threading.Event()
    values: list[Any] = []

    def count() -> None:
        with Wire(cluster.resp_port(leader), timeout_s=PATIENT_S) as wire:
            wire("SET", "others", 0)
            while not over.is_set():
                values.append(wire("INCR", "others"))
                time.sleep(0.002)

    other = threading.Thread(target=count)
    other.start()
    try:
        while not values and other.is_alive():
            time.sleep(0.01)
        yield
    finally:
        over.set()
        other.join()
    assert rising(values)
    after = cluster.status(leader)
    assert (after["role"], after["term"]) == ("leader", before["term"]), cluster.logs(30)


def late(reply: object) -> bool:
    """A machine that is busy with others' work may need longer than patience lasts."""
    return isinstance(reply, tuple) and reply[1].startswith(("UNKNOWN", "LOADING"))


def rising(replies: list[Any]) -> bool:
    """Of increments by one: each counted once, in their order."""
    counted = [reply for reply in replies if not late(reply)]
    return (
        bool(counted)
        and all(isinstance(reply, int) for reply in counted)
        and counted == sorted(set(counted))
    )


def packed(*words: str | int | bytes) -> bytes:
    return hiredis.pack_command(words)  # type: ignore[arg-type]


def names(count: int, first: str = "n") -> list[str]:
    return [f"{first}:{n}" for n in range(count)]


def in_parts(most: int, words: list[str]) -> list[list[str]]:
    return [words[start : start + most] for start in range(0, len(words), most)]


@pytest.mark.parametrize("through", ["leader", "follower"])
def test_a_pipeline_of_tens_of_thousands_behind_a_read(cluster: DevCluster, through: str) -> None:
    """They cannot go before the read is answered; once they made one entry, which no follower took,
    and no restart healed it."""
    node = cluster.leader() if through == "leader" else (cluster.leader() + 1) % cluster.size
    with undisturbed(cluster), Wire(cluster.resp_port(node), timeout_s=PATIENT_S) as wire:
        long = "x" * 300
        wire("SET", long, 0)
        sender = threading.Thread(
            target=wire.send_bytes,
            args=(packed("GET", long) + packed("INCRBY", long, 1) * COMMANDS,),
        )
        sender.start()
        assert wire.read() == "0"
        assert rising([wire.read() for _ in range(COMMANDS)])
        sender.join()


def test_commands_of_100_000_names(cluster: DevCluster) -> None:
    """As many as one command takes at once, and all in a pipeline of such."""
    with (
        undisturbed(cluster),
        Wire(cluster.resp_port(cluster.leader()), timeout_s=PATIENT_S) as wire,
    ):
        parts = in_parts(32_000, names(MANY))
        for part in parts:
            wire.send("MSET", *(word for name in part for word in (name, 5)))
        made = [wire.read() for _ in parts]
        assert all(reply == "OK" or late(reply) for reply in made)
        parts = in_parts(65_000, names(MANY))
        for word in ("MGET", "EXISTS", "DEL", "DEL"):
            for part in parts:
                wire.send(word, *part)
            for part, reply in zip(parts, [wire.read() for _ in parts], strict=True):
                if late(reply):
                    continue
                assert (
                    (len(reply) == len(part)) if word == "MGET" else reply in range(len(part) + 1)
                )
                if word == "MGET" and made == ["OK"] * len(made):
                    assert set(reply) == {"5"}


@pytest.mark.parametrize("idmp", [False, True])
def test_a_transaction_as_long_as_one_may_be_and_a_longer_one(
    cluster: DevCluster, idmp: bool
) -> None:
    end = ("IDMP", "floods", 1, "EXEC") if idmp else ("EXEC",)
    with (
        undisturbed(cluster),
        Wire(cluster.resp_port(cluster.leader()), timeout_s=PATIENT_S) as wire,
    ):
        for count in (10_000, 10_001):
            commands = [
                packed("MULTI"),
                *(packed("SET", name, 3, "EX", 1_000) for name in names(count, f"t{idmp}")),
                packed(*end),
            ]
            sender = threading.Thread(target=wire.send_bytes, args=(b"".join(commands),))
            sender.start()
            assert wire.read() == "OK"
            queued = [wire.read() for _ in range(count)]
            answer = wire.read()
            sender.join()
            if count == 10_000:
                assert set(queued) == {"QUEUED"}
                assert late(answer) or answer == ["OK"] * count
            else:
                assert queued[-1] == ("error", "ERR transaction of more than 10000 commands")
        wire.send("MULTI")
        for part in in_parts(30_000, names(120_000)):
            wire.send("MGET", *part)
        wire.send(*(("IDMP", "floods", 3, "EXEC") if idmp else end))
        answer = [wire.read() for _ in range(6)][-1]
        assert answer[0] == "error"
        assert "looks at more than 100000 keys; ask KEYS, SCAN and MGET outside of it" in answer[1]


def test_what_is_above_a_limit_is_refused_with_the_limit_and_the_remedy(
    cluster: DevCluster,
) -> None:
    with (
        undisturbed(cluster),
        Wire(cluster.resp_port(cluster.leader()), timeout_s=PATIENT_S) as wire,
    ):
        large = [f"{n}".zfill(1_000) for n in range(1_100)]
        answer = wire("DEL", *large)
        assert answer[0] == "error"
        for words in ("in the log; at most 1048568", "max_entry_bytes", "Send it in parts"):
            assert words in answer[1]
        answer = wire("DEL", *large[:900])
        assert late(answer) or answer == 0
        wire("MULTI")
        for name in large:
            wire.send("INCR", name)
        for _ in large:
            assert wire.read() == "QUEUED"
        assert "max_entry_bytes" in wire("EXEC")[1]
        answer = wire("EXISTS", *large)
        assert late(answer) or answer == 0, "nothing of it was executed"
        pipeline = b"".join(packed("INCR", name) for name in large * 4)
        sender = threading.Thread(target=wire.send_bytes, args=(pipeline,))
        sender.start()
        answers = [wire.read() for _ in range(4 * len(large))]
        assert all(late(reply) or reply in range(1, 5) for reply in answers), "a pipeline is parted"
        sender.join()
        with Wire(cluster.resp_port(cluster.leader())) as many:
            many.send_bytes(b"*70000\r\n$3\r\nDEL\r\n")
            assert "Protocol error" in many.read()[1]


def test_a_pipeline_behind_a_read_that_nobody_answers(cluster: DevCluster) -> None:
    """Without a majority what waits is bounded, and refused in words that are certain. The last
    here: an election may follow."""
    leader = cluster.leader()
    others = [n for n in range(cluster.size) if n != leader]
    with Wire(cluster.resp_port(leader), timeout_s=PATIENT_S) as wire:
        wire("SET", "held", 0)
        for node in others:
            cluster.signal(node, signal.SIGSTOP)
        try:
            sender = threading.Thread(
                target=wire.send_bytes,
                args=(packed("GET", "held") + packed("INCRBY", "held", 1) * COMMANDS,),
                daemon=True,
            )
            sender.start()
            first = wire.read()
        finally:
            for node in others:
                cluster.signal(node, signal.SIGCONT)
        replies = [first, *(wire.read() for _ in range(COMMANDS))]
        sender.join()
    cluster.wait_ready()
    counted = [reply for reply in replies[1:] if isinstance(reply, int)]
    unknown = sum(isinstance(reply, tuple) and reply[1].startswith("UNKNOWN") for reply in replies)
    refused = [
        reply
        for reply in replies
        if isinstance(reply, tuple) and not reply[1].startswith("UNKNOWN")
    ]
    assert all(reply[1].startswith("LOADING") for reply in refused)
    assert len(counted) <= cluster.read(leader, "held") <= len(counted) + unknown
