"""What many idle connections cost, what a flood on one connection does to the others, and how
connections are ended."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time

import pytest
import redis

from tests.support.devcluster import DevCluster

IDLE = 600
MOST_BYTES_EACH = (200 << 20) // 10_000
"""10,000 idle connections cost less than 200 MiB."""
FLOOD_S, ANSWERS = 5, 20
STILL_S = 0.25
"""A leader that stands still for an election timeout (0.5 s and more here) is replaced, and what
happened to another process may happen to it."""
SLEEPER = """
import select, sys, time
longest = 0
while True:
    start = time.monotonic()
    if select.select([sys.stdin], [], [], 0.01)[0]:
        break
    longest = max(longest, time.monotonic() - start - 0.01)
print(longest)
"""
FLOOD = b"*2\r\n$4\r\nINCR\r\n$5\r\nflood\r\n" * 5_000


def test_an_idle_connection_costs_less_than_its_share_of_200_mib(cluster: DevCluster) -> None:
    with cluster.client(0) as asking, contextlib.ExitStack() as stack:
        before = int(asking.info("memory")["used_memory_rss"])
        for _ in range(IDLE):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", cluster.resp_port(0)), timeout=20)
            )
            connection.sendall(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
            assert connection.recv(4_096).startswith(b"%")
        assert int(asking.info("clients")["connected_clients"]) > IDLE
        each = (int(asking.info("memory")["used_memory_rss"]) - before) / IDLE
    assert each < MOST_BYTES_EACH, f"{each:.0f} bytes for each idle connection"


class Witness:
    """Whether the machine gives a process its turn: the longest time for which one that only sleeps
    stood still."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SLEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def longest_s(self) -> float:
        """Ends it."""
        out, _ = self._process.communicate(timeout=60)
        return float(out)


def test_a_flood_on_one_connection_neither_stops_the_others_nor_the_leader(
    cluster: DevCluster,
) -> None:
    """It sends as fast as it can and never reads, for as long as another client counts. It is
    paused, or cut; the other is served; nobody else is elected. How soon the other is served is the
    machine's matter, and so is an election where processes stand still."""
    done = threading.Event()

    def flood() -> None:
        while not done.is_set():  # again, when it was cut
            with (
                contextlib.suppress(OSError),
                socket.create_connection(
                    ("127.0.0.1", cluster.resp_port(0)), timeout=0.2
                ) as connection,
            ):
                while not done.is_set():
                    with contextlib.suppress(TimeoutError):
                        connection.send(FLOOD)

    witness = Witness()
    with cluster.client(0) as other:
        terms = other.info("raft")["raft_term"]
        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            least_s, answered = time.monotonic() + FLOOD_S, 0
            while answered < ANSWERS or time.monotonic() < least_s:  # or until pytest ends it
                with contextlib.suppress(redis.RedisError):  # an election is judged below
                    answered += other.incr("beside-the-flood") > 0
        finally:
            done.set()
            flooding.join()
        still_s = witness.longest_s()
        assert other.info("raft")["raft_term"] == terms or still_s > STILL_S, (
            f"an election; no process stood still for more than {still_s} s"
        )


def test_connections_are_listed_and_ended_through_any_other(cluster: DevCluster) -> None:
    with (
        cluster.client(0, single_connection_client=True) as held,
        cluster.client(0, decode_responses=True) as other,
    ):
        number = held.client_id()
        line = next(c for c in other.client_list() if int(c["id"]) == number)
        assert line["flags"] == "N"
        assert other.client_kill_filter(_id=number) == 1
        with pytest.raises(redis.ConnectionError):
            held.ping()


def test_a_connection_that_ends_itself_has_its_answer_first(cluster: DevCluster) -> None:
    with socket.create_connection(("127.0.0.1", cluster.resp_port(0)), timeout=20) as connection:
        connection.sendall(b"CLIENT ID\r\n")
        number = int(connection.recv(100)[1:])
        connection.sendall(b"CLIENT KILL ID %d SKIPME no\r\nPING\r\n" % number)
        assert connection.recv(100) == b":1\r\n"
        assert connection.recv(100) == b""
