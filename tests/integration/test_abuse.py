"""What strangers and weak logins try: memory stays bounded, others are served and unharmed, and
each attempt is counted."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from counter_node.net.frames import HEADER, Hello, frame
from counter_node.net.peers import MAX_UNGREETED

from tests.integration.test_tls import metric, secured
from tests.support.devcluster import DevCluster
from tests.support.raw import Wire

MANY = 1_500
MAX_GROWTH_BYTES = 400 << 20
USERS = """user default off
user app on >a-password ~app:* +@all
user weak on >weak-pass ~weak:* %R~app:shown +@all
user root on >root-pass ~* +@all
"""
PASSWORDS = {"app": "a-password", "weak": "weak-pass", "root": "root-pass"}


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
    with urllib.request.urlopen(
        f"http://127.0.0.1:{cluster.ports(0)['http']}/metrics", timeout=20
    ) as page:
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
    with secured(tmp_path, 1, "--max-handshakes", "200", "--handshake-ms", "2000") as (
        cluster,
        folder,
    ):
        before = resident(cluster.pid(0))
        with many(cluster.resp_port(0), MANY), cluster.client(0) as client:
            assert client.incr("a") == 1
            assert resident(cluster.pid(0)) - before < MAX_GROWTH_BYTES
            assert (
                metric(cluster, folder, 0, 'counter_refusals_total{reason="tls_handshake_crowded"}')
                >= MANY - 400
            )
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
        with many(
            cluster.resp_port(0), 100, b"*2\r\n$4\r\nINCR\r\n$4000000\r\n" + b"x" * 3_500_000
        ):
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
        for bad in (
            b"GET / HTTP/1.1\r\n\r\n",
            HEADER.pack(1 << 20, 0),
            damaged,
            frame([1, 2]),
            hello + frame("nonsense"),
            hello + b"\xff" * 64,
        ):
            with connect(port) as connection:
                connection.sendall(bad)
                assert closed(connection)
        wait_counted(cluster, "peer_frame", 6)
        with many(port, 3 * MAX_UNGREETED, hello[:-3]) as truncated:
            assert all(closed(connection) for connection in truncated)
        wait_counted(cluster, "peer_crowded", 1)
        wait_counted(cluster, "peer_silent", 1)
        assert (
            counted(cluster, "peer_crowded") + counted(cluster, "peer_silent") == 3 * MAX_UNGREETED
        )
        with cluster.client(0) as client:
            assert client.incr("a") == 1
        assert cluster.status(0)["role"] == "leader"


# --- weak logins ----------------------------------------------------------------------------------


@contextlib.contextmanager
def tenants(
    tmp_path: Path, size: int, *options: str, more: str = ""
) -> Iterator[tuple[DevCluster, Path]]:
    path = tmp_path / "users.acl"
    put(path, USERS + more)
    with DevCluster(
        tmp_path / "c", size, *options, environment={"COUNTER_ACL_FILE": str(path)}
    ) as cluster:
        cluster.client_options = {"username": "root", "password": "root-pass"}
        yield cluster, path


@contextlib.contextmanager
def wire(cluster: DevCluster, user: str, node: int = 0) -> Iterator[Wire]:
    with Wire(cluster.resp_port(node), timeout_s=60) as found:
        assert found("AUTH", user, PASSWORDS[user]) == "OK"
        yield found


def put(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def refused(reply: object, words: str) -> bool:
    return isinstance(reply, tuple) and reply[0] == "error" and words in str(reply[1])


def wait_for(found: Wire, words: tuple[str | int, ...], wanted: str, timeout_s: float = 30) -> None:
    """Until it is answered in these words; empty: not by an error."""
    end = time.monotonic() + timeout_s
    while True:
        reply = found(*words)
        if refused(reply, wanted) if wanted else not isinstance(reply, tuple):
            return
        assert time.monotonic() < end, f"{words} still gives {reply}"
        time.sleep(0.1)


def numbers(page: str, user: str) -> dict[str, int]:
    line = next(line for line in page.splitlines() if line.startswith(f"user_{user}:"))
    return {
        name: int(number)
        for name, _, number in (part.partition("=") for part in line.partition(":")[2].split(","))
    }


def test_whoever_knows_a_producers_name_reaches_nothing_of_it(tmp_path: Path) -> None:
    with (
        tenants(tmp_path, 1, "--max-producers", "40") as (cluster, _),
        wire(cluster, "app") as app,
        wire(cluster, "weak") as weak,
    ):
        assert app("IDMP", "billing", 1, "INCRBY", "app:secret", 4711) == 4711
        assert weak("IDMP", "billing", 1, "INCR", "weak:a") == 1, "not the kept reply of another"
        assert weak("IDMP", "billing", 2, "INCR", "weak:a") == 2
        assert app("IDMP", "billing", 2, "INCR", "app:secret") == 4712, "its sequences are its own"
        assert refused(weak("IDMP", "billing", 9 * 10**18, "INCR", "weak:a"), "ahead of the newest")
        assert weak("IDMP", "billing", 3, "INCR", "weak:a") == 3
        assert app("IDMP", "billing", 3, "INCR", "app:secret") == 4713
        assert app("IDMP", "billing", 1, "INCRBY", "app:secret", 4711) == 4711, (
            "and its replies are kept"
        )
        for n in range(60):
            weak.send("IDMP", f"made-up-{n}", 1, "INCR", "weak:a")
        replies = [weak.read() for _ in range(60)]
        assert refused(replies[-1], "OOM too many producers of this user")
        assert [app("IDMP", f"new-{n}", 1, "INCR", "app:new") for n in range(5)] == [1, 2, 3, 4, 5]


def test_a_user_past_its_limits_is_refused_on_every_node_and_stops_nobody(tmp_path: Path) -> None:
    with (
        tenants(tmp_path, 3, more="#limits weak keys=20\n") as (cluster, path),
        contextlib.ExitStack() as stack,
    ):
        weak, elsewhere = (stack.enter_context(wire(cluster, "weak", node)) for node in (0, 1))
        app, root = (stack.enter_context(wire(cluster, user, 2)) for user in ("app", "root"))
        end = time.monotonic() + 30
        while "keys_limit=20" not in root("INFO", "limits"):
            assert time.monotonic() < end
            time.sleep(0.1)
        for n in range(30):
            weak.send("INCR", f"weak:{n}")
        replies = [weak.read() for _ in range(30)]
        assert replies[:20] == [1] * 20
        words = (
            "OOM user weak has 20 counters of its own and may have 20 (limits.keys); it was "
            "not executed. Delete some"
        )
        assert all(refused(reply, words) for reply in replies[20:])
        assert refused(elsewhere("SET", "weak:other", 1), words)
        assert elsewhere("INCR", "weak:3") == 2
        assert [elsewhere("GET", "weak:3"), app("INCR", "app:a")] == ["2", 1]
        mine = numbers(weak("INFO", "limits"), "weak")
        assert (mine["keys"], mine["keys_limit"], mine["refused_keys"]) == (20, 20, 11)
        assert "user_weak" not in app("INFO", "limits") or app("ACL", "LIST")
        page = (
            urllib.request.urlopen(
                f"http://127.0.0.1:{cluster.ports(1)['http']}/metrics", timeout=20
            )
            .read()
            .decode()
        )
        assert 'counter_user_keys{user="weak"} 20.0' in page
        assert 'counter_user_refused_total{limit="keys",user="weak"} 11.0' in page
        assert elsewhere("DEL", "weak:3") == 1
        assert weak("INCR", "weak:new") == 1
        for node in range(3):
            cluster.admin(node, "RAFT.SNAPSHOT")
        cluster.kill_and_wait(0)
        with wire(cluster, "weak", 1) as after:
            wait_for(after, ("INCR", "weak:other"), "OOM user weak has 20 counters")
        put(path, USERS + "#limits weak keys=21 commands=1000000\n")
        wait_for(elsewhere, ("INCR", "weak:other"), "")
        assert refused(elsewhere("INCR", "weak:more"), "and may have 21 (limits.keys)")
        put(path, USERS)
        wait_for(elsewhere, ("INCR", "weak:more"), "")


def test_commands_a_second_are_bounded_and_others_are_not_held_up(tmp_path: Path) -> None:
    with (
        tenants(tmp_path, 1, more="#limits weak commands=50\n") as (cluster, path),
        wire(cluster, "weak") as weak,
        wire(cluster, "app") as app,
    ):
        for _ in range(3_000):
            weak.send("INCR", "weak:a")
        replies = [weak.read() for _ in range(3_000)]
        done = [reply for reply in replies if not isinstance(reply, tuple)]
        assert done == list(range(1, len(done) + 1)), "what was taken was executed, in order"
        assert 50 <= len(done) < 2_900
        assert sum(
            refused(reply, "ERR user weak may give 50 commands a second to this node (limits.com")
            for reply in replies
        ) == 3_000 - len(done)
        assert app("INCR", "app:a") == 1
        wait_counted(cluster, "user_limit", 3_000 - len(done))
        put(path, USERS)
        wait_for(weak, ("PING",), "")
        end = time.monotonic() + 30
        while any(isinstance(weak("PING"), tuple) for _ in range(200)):
            assert time.monotonic() < end


def test_with_strict_patterns_a_user_hears_of_its_own_keys_alone(tmp_path: Path) -> None:
    with (
        tenants(tmp_path, 1, more="#strict-patterns\n") as (cluster, path),
        wire(cluster, "weak") as weak,
        wire(cluster, "root") as root,
    ):
        for start in range(0, 25_000, 5_000):
            root(
                "MSET", *(word for n in range(start, start + 5_000) for word in (f"foreign:{n}", n))
            )
        root("MSET", "weak:1", 1, "weak:2", 2, "app:shown", 3)
        own = ["app:shown", "weak:1", "weak:2"]
        assert [weak("DBSIZE"), sorted(weak("KEYS", "*")), weak("RANDOMKEY") in own] == [
            3,
            own,
            True,
        ]
        cursor, found = weak("SCAN", 0, "COUNT", 2)
        assert len(found) == 2
        rest = weak("SCAN", cursor, "COUNT", 2)
        assert [rest[0], sorted(found + rest[1])] == ["0", own]
        assert "keys=" not in weak("INFO", "keyspace")
        assert "keys=25003" in root("INFO", "keyspace")
        assert refused(
            weak("FLUSHALL"), "NOPERM User weak may not remove counters beyond its patterns"
        )
        assert root("DBSIZE") == 25_003
        put(path, USERS)
        end = time.monotonic() + 30
        while weak("DBSIZE") != 25_003:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_what_a_weak_login_asks_without_reading_stays_small_and_others_are_served(
    tmp_path: Path,
) -> None:
    """18,000 times COMMAND DOCS, transactions and watches, and large names, from many
    connections."""
    with (
        tenants(tmp_path, 1, "--client-bytes", str(8 << 20), more="#limits weak keys=2000\n") as (
            cluster,
            _,
        ),
        wire(cluster, "app") as app,
    ):
        app("INCR", "app:a")
        before, term = resident(cluster.pid(0)), cluster.status(0)["term"]
        with contextlib.ExitStack() as stack:
            weak = [stack.enter_context(wire(cluster, "weak")) for _ in range(24)]
            for number, connection in enumerate(weak):
                with contextlib.suppress(OSError):
                    if number < 16:
                        connection._socket.settimeout(0.5)
                        connection.send_bytes(b"COMMAND DOCS\r\n" * 1_125)
                    elif number < 20:
                        connection("MULTI")
                        for n in range(1_500):
                            connection.send("SET", "weak:" + "k" * 1_000, n)
                    else:
                        for batch in range(3):
                            connection.send(
                                "WATCH",
                                *(f"weak:{number}:{batch}:{n}" + "y" * 200 for n in range(1_000)),
                            )
            assert [app("INCR", "app:a") for _ in range(20)] == list(range(2, 22))
            with wire(cluster, "weak") as maker:
                made = 0
                for batch in range(30):  # 3 MiB at once would be the heaviest of all, and cut
                    for n in range(100):
                        maker.send("INCR", f"weak:{batch:03}{n:03}" + "x" * 1_000)
                    made += sum(maker.read() == 1 for _ in range(100))
                assert made == 2_000
            assert resident(cluster.pid(0)) - before < 150 << 20
        assert cluster.status(0)["term"] == term
        cluster.signal(0, signal.SIGKILL)
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), wire(cluster, "app") as again:
                if again("INCR", "app:a") == 22:
                    break
            assert time.monotonic() < end, "it does not come back with what was put into it"
            time.sleep(0.2)
