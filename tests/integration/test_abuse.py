"""What strangers try: memory stays bounded, others are served, and each attempt is counted."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from counter_node.net.peers import HEADER, MAX_UNGREETED, Hello, frame

from tests.integration.test_tls import metric, secured
from tests.support.devcluster import DevCluster

MANY = 1_500
MAX_GROWTH_BYTES = 400 << 20


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


@contextlib.contextmanager
def many(port: int, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            sockets.append(stack.enter_context(connect(port)))
            with contextlib.suppress(OSError):  # cut already
                sockets[-1].sendall(first)
        yield sockets


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def counted(cluster: DevCluster, reason: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{cluster.ports(0)['http']}/metrics", timeout=20) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(f'counter_refusals_total{{reason="{reason}"}} '):
                return float(line.split()[-1])
    raise AssertionError(f"{reason} is not counted")


def wait_counted(cluster: DevCluster, reason: str, least: float, timeout_s: float = 150) -> None:
    end = time.monotonic() + timeout_s
    while (found := counted(cluster, reason)) < least:
        assert time.monotonic() < end, f"{reason}: {found}; at least {least} were expected"
        time.sleep(0.1)


def closed(connection: socket.socket) -> bool:
    """Within the socket's timeout, whatever was answered before."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


def test_half_open_handshakes_and_garbage_shut_nobody_out(tmp_path: Path) -> None:
    with secured(tmp_path, 1, "--max-handshakes", "200", "--handshake-ms", "2000") as (cluster, folder):
        before = resident(cluster.pid(0))
        with many(cluster.resp_port(0), MANY), cluster.client(0) as client:
            assert client.incr("a") == 1
            assert resident(cluster.pid(0)) - before < MAX_GROWTH_BYTES
            assert metric(cluster, folder, 0, 'counter_refusals_total{reason="tls_handshake_crowded"}') >= MANY - 400
        with connect(cluster.resp_port(0)) as garbage:
            garbage.sendall(b"*1\r\n$4\r\nPING\r\n" * 100)
            assert closed(garbage)
        with connect(cluster.resp_port(0)) as slow:
            slow.sendall(b"\x16\x03\x01")
            assert closed(slow)
        end = time.monotonic() + 20
        for reason in ("tls_handshake", "tls_handshake_slow"):
            while metric(cluster, folder, 0, f'counter_refusals_total{{reason="{reason}"}}') < 1:
                assert time.monotonic() < end, reason
                time.sleep(0.1)


def test_silent_connections_make_room_for_those_that_count(tmp_path: Path) -> None:
    with DevCluster(tmp_path / "c", 1, "--max-clients", "100") as cluster, cluster.client(0) as old:
        assert old.incr("a") == 1
        with many(cluster.resp_port(0), 300, b"*2\r\n$4\r\nIN"), cluster.client(0) as new:
            assert new.incr("a") == 2
            assert old.incr("a") == 3
        wait_counted(cluster, "client_silent", 200)


def test_giant_lengths_and_unfinished_commands_hold_no_memory(tmp_path: Path) -> None:
    with DevCluster(tmp_path / "c", 1) as cluster:
        before = resident(cluster.pid(0))
        for giant in (b"*2\r\n$4\r\nINCR\r\n$1000000000\r\n", b"*1000000000\r\n", b"A" * 200_000):
            with connect(cluster.resp_port(0)) as connection:
                connection.sendall(giant)
                assert closed(connection)
        wait_counted(cluster, "client_protocol", 3)
        with many(cluster.resp_port(0), 100, b"*2\r\n$4\r\nINCR\r\n$4000000\r\n" + b"x" * 3_500_000):
            wait_counted(cluster, "client_memory", 1)
            with cluster.client(0) as client:
                assert client.incr("a") == 1
            assert resident(cluster.pid(0)) - before < 2 * MAX_GROWTH_BYTES


def test_strangers_at_the_peer_port_are_cut_and_counted(tmp_path: Path) -> None:
    with DevCluster(tmp_path / "c", 1, "--handshake-ms", "1000") as cluster:
        port = cluster.ports(0)["peer"]
        me = int(cluster.status(0)["nodeId"], 16)
        hello = frame(Hello("devcluster", 12345, me, "stranger", "127.0.0.1:1", "127.0.0.1:2"))
        damaged = hello[:-1] + bytes([hello[-1] ^ 1])
        for bad in (b"GET / HTTP/1.1\r\n\r\n", HEADER.pack(1 << 20, 0), damaged, frame([1, 2]), hello + frame("nonsense"), hello + b"\xff" * 64):
            with connect(port) as connection:
                connection.sendall(bad)
                assert closed(connection)
        wait_counted(cluster, "peer_frame", 6)
        with many(port, 3 * MAX_UNGREETED, hello[:-3]) as truncated:
            assert all(closed(connection) for connection in truncated)
        wait_counted(cluster, "peer_crowded", 1)
        wait_counted(cluster, "peer_silent", 1)
        assert counted(cluster, "peer_crowded") + counted(cluster, "peer_silent") == 3 * MAX_UNGREETED
        with cluster.client(0) as client:
            assert client.incr("a") == 1
        assert cluster.status(0)["role"] == "leader"
