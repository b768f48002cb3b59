"""What many idle connections cost, what a flood on one connection does to the others, and how connections are ended."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
import redis

from tests.support.devcluster import DevCluster

IDLE = 600
MOST_BYTES_EACH = (200 << 20) // 10_000
"""10,000 idle connections cost less than 200 MiB."""
FLOOD = b"*2\r\n$4\r\nINCR\r\n$5\r\nflood\r\n" * 5_000


def test_an_idle_connection_costs_less_than_its_share_of_200_mib(cluster: DevCluster) -> None:
    with cluster.client(0) as asking, contextlib.ExitStack() as stack:
        before = int(asking.info("memory")["used_memory_rss"])
        for _ in range(IDLE):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", cluster.resp_port(0)), timeout=20))
            connection.sendall(b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
            assert connection.recv(4_096).startswith(b"%")
        assert int(asking.info("clients")["connected_clients"]) > IDLE
        each = (int(asking.info("memory")["used_memory_rss"]) - before) / IDLE
    assert each < MOST_BYTES_EACH, f"{each:.0f} bytes for each idle connection"


def test_a_flood_on_one_connection_neither_stops_the_others_nor_the_leader(cluster: DevCluster) -> None:
    """It sends for five seconds as fast as it can and never reads. It is paused, or cut; others are served; nobody else is elected."""
    end = time.monotonic() + 5

    def flood() -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", cluster.resp_port(0)), timeout=0.2) as connection:
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    connection.send(FLOOD)

    with cluster.client(0) as other:
        terms = other.info("raft")["raft_term"]
        flooding = threading.Thread(target=flood)
        flooding.start()
        answered = 0
        while time.monotonic() < end:
            answered += other.incr("beside-the-flood") > 0
        flooding.join()
        assert answered > 20
        assert other.info("raft")["raft_term"] == terms


def test_connections_are_listed_and_ended_through_any_other(cluster: DevCluster) -> None:
    with cluster.client(0, single_connection_client=True) as held, cluster.client(0, decode_responses=True) as other:
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
