"""Users of real nodes: what Redis says to whom, what each may do, and a file that changes under
running connections."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from counter_node.net.logins import KEY_PER_S
from counter_node.users.file import KEPT

from tests.integration.test_abuse import counted
from tests.support.devcluster import DevCluster
from tests.support.raw import Wire

USERS = """
user default off
user root on #{root} ~* +@all
user app on >apple-pass ~app:* %R~shared:* +@read +@write +multi +exec +watch +unwatch
user reader on >reader-pass ~* +@read +acl|whoami
"""
WRONGPASS = ("error", "WRONGPASS invalid username-password pair or user is disabled.")
NOAUTH = ("error", "NOAUTH Authentication required.")
NO_KEY = ("error", "NOPERM No permissions to access a key")


def users() -> str:
    return USERS.format(root=hashlib.sha256(b"root-pass").hexdigest())


def put(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


@contextlib.contextmanager
def guarded(tmp_path: Path) -> Iterator[tuple[DevCluster, Path]]:
    path = tmp_path / "users.acl"
    put(path, users())
    with DevCluster(
        tmp_path / "cluster", 1, environment={"COUNTER_ACL_FILE": str(path)}
    ) as cluster:
        yield cluster, path


def wait_until(wire: Wire, words: tuple[str, ...], wanted: object, timeout_s: float = 90) -> None:
    end = time.monotonic() + timeout_s
    while (found := wire(*words)) != wanted:
        assert time.monotonic() < end, f"{words} still gives {found}"
        time.sleep(0.1)


def test_a_user_may_do_what_its_rules_say_and_the_words_are_those_of_redis(tmp_path: Path) -> None:
    with guarded(tmp_path) as (cluster, _):
        port = cluster.resp_port(0)
        with Wire(port) as wire:
            _nobody_is_let_in(wire)
            assert wire("AUTH", "app", "apple-pass") == "OK"
            _the_keys_of_its_patterns_alone(wire)
            _the_commands_of_its_rules_alone(wire)
            assert wire("RESET") == "RESET"
            assert wire("PING") == NOAUTH
        with Wire(port) as wire:
            assert wire("HELLO", 2, "AUTH", "reader", "reader-pass")[1] == "redis"
            assert wire("GET", "app:a") == "2"
            assert wire("ACL", "WHOAMI") == "reader"
            assert wire("INCR", "app:a") == (
                "error",
                "NOPERM User reader has no permissions to run the 'incr' command",
            )
        with redis.Redis(
            port=port, username="root", password="root-pass", decode_responses=True
        ) as root:
            assert root.acl_users() == ["app", "default", "reader", "root"]
            assert "incr" in root.acl_cat("write")
            assert root.acl_getuser("reader")["flags"] == ["on"]
            assert any(line.startswith("user app on #") for line in root.acl_list())
            assert not any("apple-pass" in line for line in root.acl_list())
        assert "apple-pass" not in cluster.logs(10_000)


def _nobody_is_let_in(wire: Wire) -> None:
    assert wire("PING") == NOAUTH
    assert wire("INCR", "app:a") == NOAUTH
    assert str(wire("HELLO", 3)[1]).startswith("NOAUTH HELLO must be called")
    assert wire("AUTH", "app", "wrong") == WRONGPASS
    assert wire("AUTH", "nobody", "apple-pass") == WRONGPASS
    assert wire("AUTH", "apple-pass") == WRONGPASS  # `default` is off


def _the_keys_of_its_patterns_alone(wire: Wire) -> None:
    assert wire("INCR", "app:a") == 1
    assert wire("GET", "shared:a") is None
    assert wire("INCR", "shared:a") == NO_KEY
    assert wire("MGET", "app:a", "other") == NO_KEY
    assert wire("IDMP", "p", 1, "INCR", "other") == NO_KEY
    assert wire("WATCH", "app:a", "other") == NO_KEY
    assert wire("WATCH", "app:a", "shared:a") == "OK", "what may be read may be watched"
    assert wire("UNWATCH") == "OK"
    assert wire("IDMP", "p", 1, "INCR", "app:a") == 2


def _the_commands_of_its_rules_alone(wire: Wire) -> None:
    assert wire("ACL", "LIST") == (
        "error",
        "NOPERM User app has no permissions to run the 'acl|list' command",
    )
    assert wire("MULTI") == "OK"
    assert wire("INCR", "other")[1].startswith("NOPERM")
    assert wire("EXEC")[1].startswith("EXECABORT")
    for _ in range(3):  # a pipeline of increments takes a way of its own
        wire.send("INCR", "other")
    assert [wire.read()[1][:6] for _ in range(3)] == ["NOPERM"] * 3


def test_a_changed_file_takes_and_gives_rights_without_dropping_a_connection(
    tmp_path: Path,
) -> None:
    with guarded(tmp_path) as (cluster, path), Wire(cluster.resp_port(0)) as wire:
        assert wire("AUTH", "app", "apple-pass") == "OK"
        assert wire("INCR", "app:a") == 1
        put(path, users().replace("apple-pass", "pear-pass").replace("~app:*", "~app:* ~new:*"))
        wait_until(wire, ("SET", "new:a", "1"), "OK")
        with Wire(cluster.resp_port(0)) as other:
            assert other("AUTH", "app", "apple-pass") == WRONGPASS
            assert other("AUTH", "app", "pear-pass") == "OK"
        put(path, "user app on >secret-word ~* +@nonsense\n")
        end = time.monotonic() + 90
        while "the new users are not used" not in cluster.logs(10_000):
            assert time.monotonic() < end, cluster.logs()
            time.sleep(0.05)
        assert wire("INCR", "app:a") == 2
        assert "secret-word" not in cluster.logs(10_000)
        put(path, users().replace("user app on", "user app off"))
        wait_until(wire, ("GET", "app:a"), NOAUTH)


def test_guessing_is_slowed_down_and_a_right_password_gets_in_all_the_same(tmp_path: Path) -> None:
    with guarded(tmp_path) as (cluster, _), contextlib.ExitStack() as stack:
        port = cluster.resp_port(0)
        first = stack.enter_context(Wire(port))
        assert [first("AUTH", "app", f"guess-{n}") for n in range(10)] == [WRONGPASS] * 10
        guessing = [stack.enter_context(Wire(port)) for _ in range(8)]
        start = time.monotonic()
        for wire in guessing:
            for n in range(50):
                wire.send("AUTH", "app", f"guess-{n}")
        with Wire(port) as honest:
            assert honest("AUTH", "app", "apple-pass") == "OK"
            assert honest("INCR", "app:a") == 1
        assert counted(cluster, "auth_failed") - 10 <= (time.monotonic() - start) * KEY_PER_S + 2
        assert counted(cluster, "auth_throttled") >= 9
        with Wire(port) as known, Wire(port) as other:
            assert known("HELLO", 2, "AUTH", "app", "apple-pass")[1] == "redis"
            assert other("AUTH", "root", "root-pass") == "OK", "another user of that address"


@pytest.mark.parametrize(
    "text",
    [
        "user a b c\n",
        "user a on ~k +nothing\n",
        "nobody\n",
        "user a #123\n",
        "user a on\nuser a off\n",
    ],
)
def test_a_file_that_makes_no_sense_ends_the_start_and_shows_no_password(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "users.acl"
    path.write_text("user z on >top-secret ~* +@all\n" + text)
    environment = {**os.environ, "PYTHONPATH": "node_image", "COUNTER_ACL_FILE": str(path)}
    command = [
        sys.executable,
        "-m",
        "counter_node",
        "--cluster-id",
        "c",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert "line" in ended.stdout + ended.stderr
    assert "top-secret" not in ended.stdout + ended.stderr


def test_an_empty_file_lets_nobody_in_and_a_lost_one_changes_nothing(tmp_path: Path) -> None:
    with guarded(tmp_path) as (cluster, path), Wire(cluster.resp_port(0)) as wire:
        digest = hashlib.sha256(users().encode()).hexdigest()[:16]
        assert cluster.status(0)["users_digest"] == digest
        assert wire("AUTH", "app", "apple-pass") == "OK"
        kept, pid, end = (
            cluster.directory / "node-0" / "data" / KEPT,
            cluster.pid(0),
            time.monotonic() + 20,
        )
        while not kept.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        path.unlink()
        cluster.signal(0, signal.SIGKILL)
        while cluster.pid(0) == pid:
            assert time.monotonic() < end
            time.sleep(0.05)
        cluster.wait_ready()
        with Wire(cluster.resp_port(0)) as other:
            assert other("AUTH", "app", "apple-pass") == "OK"
            status = cluster.status(0)
            assert status["users_digest"] == digest
            assert "users.acl" in status["users_error"]
            put(path, "")
            wait_until(other, ("GET", "app:a"), NOAUTH)
            assert other("AUTH", "default", "") == WRONGPASS
        put(path, users())
        with Wire(cluster.resp_port(0)) as third:
            wait_until(third, ("AUTH", "app", "apple-pass"), "OK")
        assert cluster.status(0)["users_error"] == ""
