"""Who has not logged in: what it can make a node hold, what it costs others, and whose descriptors
it takes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.integration.test_abuse import connect, counted, many, resident, wait_counted
from tests.support.devcluster import DevCluster
from tests.support.raw import Wire

USERS = "user default off\nuser app on >a-password ~* +@all\n"
BLOCK = b"HELLO\r\n" * 8_000
MIB = 1 << 20


@contextlib.contextmanager
def guarded(tmp_path: Path, *options: str, wrapper: tuple[str, ...] = ()) -> Iterator[DevCluster]:
    acl = tmp_path / "users.acl"
    acl.write_text(USERS)
    with DevCluster(
        tmp_path / "c", 1, *options, environment={"COUNTER_ACL_FILE": str(acl)}, wrapper=wrapper
    ) as cluster:
        cluster.client_options = {"username": "app", "password": "a-password"}
        yield cluster


def flood(port: int, stop: threading.Event, block: bytes, *, read: bool) -> None:
    """As fast as it is taken, again after each cut."""
    while not stop.is_set():
        with contextlib.suppress(OSError), connect(port) as connection:
            connection.settimeout(0.05)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    connection.send(block)
                if read:
                    with contextlib.suppress(TimeoutError):
                        while connection.recv(1 << 20):
                            pass


@contextlib.contextmanager
def flooded(port: int, count: int, block: bytes, *, read: bool) -> Iterator[None]:
    stop = threading.Event()
    threads = [
        threading.Thread(target=flood, args=(port, stop, block), kwargs={"read": read})
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("block", [BLOCK, b"AUTH app wrong\r\n" * 2_000], ids=["hello", "guesses"])
def test_strangers_that_flood_and_never_read_hold_little_and_others_are_served(
    tmp_path: Path, block: bytes
) -> None:
    with guarded(tmp_path) as cluster, cluster.client(0) as client:
        client.incr("k")
        before, term = resident(cluster.pid(0)), cluster.status(0)["term"]
        with flooded(cluster.resp_port(0), 16, block, read=False):
            for n in range(200):
                assert client.incr("k") == n + 2
            assert resident(cluster.pid(0)) - before < 64 * MIB
        assert cluster.status(0)["term"] == term


def test_ever_so_many_requests_of_strangers_leave_the_memory_as_it_was(tmp_path: Path) -> None:
    with guarded(tmp_path) as cluster:
        port, count = cluster.resp_port(0), 0
        found: list[int] = []
        for _ in range(3):
            with connect(port) as connection:
                for _ in range(2):
                    connection.sendall(BLOCK)
                    missing = 8_000
                    while missing:
                        missing -= connection.recv(1 << 20).count(b"\n")
                    count += 8_000
            found.append(resident(cluster.pid(0)))
        assert count == 48_000
        assert found[-1] - found[0] < 16 * MIB


def test_past_their_share_the_heaviest_stranger_is_cut_and_nobody_else(tmp_path: Path) -> None:
    with guarded(tmp_path, "--client-bytes", str(2 * MIB)) as cluster, cluster.client(0) as client:
        client.incr("k")
        with many(cluster.resp_port(0), 200, b"*2\r\n$4\r\nAUTH\r\n$15000\r\n" + b"x" * 12_000):
            wait_counted(cluster, "client_memory", 100)
            assert client.incr("k") == 2
        assert counted(cluster, "client_unread") == 0


@pytest.mark.parametrize("what", ["transactions", "watches", "unread", "unfinished"])
def test_who_is_logged_in_and_holds_most_is_cut(tmp_path: Path, what: str) -> None:
    with (
        guarded(tmp_path, "--client-bytes", str(2 * MIB)) as cluster,
        contextlib.ExitStack() as stack,
        cluster.client(0) as client,
    ):
        client.incr("k")
        if what == "unread":
            client.mset({f"key:{n:04}": n for n in range(1_000)})
        for _ in range(3):
            wire = stack.enter_context(Wire(cluster.resp_port(0)))
            assert wire("AUTH", "app", "a-password") == "OK"
            with contextlib.suppress(OSError):
                if what == "transactions":
                    wire("MULTI")
                    for n in range(400):
                        wire.send("SET", "k" * 1_000, n)
                        wire.send("GET", f"{n}" * 300)
                elif what == "watches":
                    for _ in range(6):
                        wire.send("WATCH", *(f"k{n}" for n in range(1_000)))
                elif what == "unread":
                    for _ in range(4_000):
                        wire.send("KEYS", "*")
                else:
                    wire.send_bytes(b"*2\r\n$4\r\nINCR\r\n$4000000\r\n" + b"x" * 1_500_000)
        if what == "unread":
            assert resident(cluster.pid(0)) < 400 * MIB
        else:
            wait_counted(cluster, "client_memory", 1)
        assert client.incr("k") > 1


@pytest.mark.parametrize("port_name", ["http", "resp"])
def test_no_listener_takes_the_descriptors_of_the_log_or_of_another(
    tmp_path: Path, port_name: str
) -> None:
    """600 descriptors for the node, 700 connections to one of its ports."""
    with (
        guarded(tmp_path, wrapper=("prlimit", "--nofile=600:600")) as cluster,
        cluster.client(0) as client,
    ):
        assert client.incr("k") == 1
        port = cluster.ports(0)[port_name] if port_name != "resp" else cluster.resp_port(0)
        with many(port, 700):
            for n in range(20):
                assert client.incr("k") == n + 2
            cluster.admin(0, "RAFT.SNAPSHOT")
            status = cluster.status(0)
            assert (status["role"], status["ready"], status["diskFull"]) == ("leader", True, False)
            if port_name != "resp":
                with cluster.client(0) as other:
                    assert other.incr("k") == 22
            assert counted(cluster, "permission") == 0, "the page is served"
        with cluster.client(0) as other:
            assert other.incr("l") == 1
        assert "the disk failed" not in cluster.logs(1_000)
        assert "Too many open files" not in cluster.logs(1_000)


def test_a_health_page_is_answered_while_others_are_asked_for_without_end(tmp_path: Path) -> None:
    with guarded(tmp_path) as cluster, cluster.client(0) as client:
        port = cluster.ports(0)["http"]
        with many(port, 100, b"GET /metrics HTTP/1.1\r\n\r\n") as asking:
            with connect(port) as probe:
                probe.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
                assert probe.recv(100).startswith(b"HTTP/1.1 200")
            assert client.incr("k") == 1
            for connection in asking:
                assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_stranger_that_logs_in_in_the_middle_of_a_flood_is_served(tmp_path: Path) -> None:
    with guarded(tmp_path) as cluster, flooded(cluster.resp_port(0), 8, BLOCK, read=True):
        start = time.monotonic()
        with cluster.client(0, socket_timeout=30) as client:
            assert client.incr("k") == 1
        with (
            pytest.raises(redis.AuthenticationError),
            cluster.client(0, password="wrong", socket_timeout=30) as client,
        ):
            client.incr("k")
        assert time.monotonic() - start < 60


def test_what_comes_in_one_piece_is_answered_in_order_in_slices(tmp_path: Path) -> None:
    with (
        guarded(tmp_path) as cluster,
        socket.create_connection(("127.0.0.1", cluster.resp_port(0)), timeout=30) as connection,
    ):
        words = [b"AUTH app a-password"]
        words += [b"INCR k", b"GET k", b"PING %d", b"SET l %d"] * 2_000
        data = b"".join((w % n if b"%" in w else w) + b"\r\n" for n, w in enumerate(words))
        threading.Thread(target=connection.sendall, args=(data,)).start()
        wanted = b"+OK\r\n" + b"".join(
            b":%d\r\n$%d\r\n%d\r\n$%d\r\n%d\r\n+OK\r\n"
            % (n, len(str(n)), n, len(str(4 * n - 1)), 4 * n - 1)
            for n in range(1, 2_001)
        )
        found = b""
        while len(found) < len(wanted) and (data := connection.recv(1 << 20)):
            found += data
        assert found == wanted
