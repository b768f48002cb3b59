"""Real nodes whose wall clocks are wrong (docs/internals/time.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.devcluster import DevCluster
from tests.support.wrong_clocks import LIBRARY, MISSING, WrongClocks, boot_again

pytestmark = pytest.mark.skipif(LIBRARY is None, reason=MISSING)
WAIT_S = 150.0
OPTIONS = ("--log-level", "info")
STOP_S = 4.0
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def until(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT_S
    while not (found := what()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)
    return found


def log_time(nodes: DevCluster) -> dict[str, Any]:
    found: dict[str, Any] = nodes.status(nodes.leader())["time"]
    return found


def agreed(nodes: DevCluster) -> bool:
    return (
        bool(log_time(nodes)["calendarAgreed"])
        and abs(log_time(nodes)["utcMs"] - time.time() * 1000) < 2_000
    )


def lead(nodes: DevCluster, node: int) -> None:
    for _ in range(20):
        leader = nodes.leader()
        if leader == node:
            return
        nodes.admin(leader, "RAFT.TRANSFER", nodes.status(node)["nodeId"])
    raise AssertionError(f"node {node} does not lead")


def test_a_wrong_clock_neither_freezes_log_time_nor_makes_it_race(tmp_path: Path) -> None:
    """One of three is an hour ahead, and bootstrapped the cluster; then it is a year ahead while it
    leads."""
    clocks = WrongClocks(tmp_path, 3)
    clocks.set(0, "+1h")
    with DevCluster(tmp_path / "nodes", 3, *OPTIONS, environment=clocks.environment) as nodes:
        until(lambda: agreed(nodes))
        with nodes.client(1) as client:
            client.set("long", 5, ex=3_600)
            assert client.execute_command("IDMP", "p", "1", "INCR", "counted") == 1
            for node in (0, 1, 2):
                lead(nodes, node)
                began = time.monotonic()
                client.set("r", 5, px=2_000)
                assert 0 < client.pttl("r") <= 2_000
                until(lambda: client.get("r") is None)
                took = time.monotonic() - began
                assert took >= 1.9, f"led by node {node}"
            lead(nodes, 0)
            for offset in ("+365d", "-400d"):
                clocks.set(0, offset)
                apart = until(lambda: log_time(nodes)["apart"])
                assert apart == [nodes.status(0)["nodeId"]]
                client.set("r", 5, px=1_000)
                until(lambda: client.get("r") is None)
                assert client.get("long") == b"5"
                assert client.execute_command("IDMP", "p", "1", "INCR", "counted") == 1, (
                    "counted once"
                )
                assert 3_400 < client.ttl("long") <= 3_600
                assert abs(client.expiretime("long") - time.time() - 3_500) < 200, (
                    "the calendar is the majority's"
                )
            assert log_time(nodes)["jumps"] == 0


def test_a_week_of_hibernation_is_caught_up_with_one_clock_wrong(tmp_path: Path) -> None:
    clocks = WrongClocks(tmp_path, 3)
    with DevCluster(tmp_path / "nodes", 3, *OPTIONS, environment=clocks.environment) as nodes:
        until(lambda: agreed(nodes))
        with nodes.client(0) as client:
            client.set("hour", 5, ex=3_600)
            client.set("month", 5, ex=30 * 86_400)
            assert client.execute_command("IDMP", "p", "1", "INCR", "counted") == 1
    boot_again(tmp_path / "nodes")
    for node in (0, 1):
        clocks.set(node, "+7d")
    clocks.set(2, "+300d")
    with DevCluster(tmp_path / "nodes", 3, *OPTIONS, environment=clocks.environment) as nodes:
        until(lambda: log_time(nodes)["jumps"])
        found = log_time(nodes)
        assert not found["gap"]
        assert abs(found["utcMs"] - time.time() * 1000 - 7 * DAY_MS) < 3_000
        with nodes.client(0) as client:
            assert client.get("hour") is None
            assert abs(client.pttl("month") - 23 * DAY_MS) < HOUR_MS
            assert client.execute_command("IDMP", "p", "1", "INCR", "counted") == 1, (
                "nobody is forgotten because of a jump"
            )
        assert found["apart"] == [nodes.status(2)["nodeId"]]


def test_a_start_of_all_processes_is_no_full_stop(tmp_path: Path) -> None:
    """Their notes are of the same boot: time that went by is known without any wall clock, here of
    ones that are wrong meanwhile."""
    clocks = WrongClocks(tmp_path, 3)
    with DevCluster(tmp_path / "nodes", 3, *OPTIONS, environment=clocks.environment) as nodes:
        until(lambda: agreed(nodes))
        with nodes.client(0) as client:
            begun = time.monotonic()  # a TTL is as of the last entry, here that of SET
            client.set("r", 5, ex=600)
            before = client.pttl("r")
            asked = time.monotonic()
    time.sleep(STOP_S)
    for node, offset in enumerate(("+8h", "-1h", "+400d")):
        clocks.set(node, offset)
    with (
        DevCluster(tmp_path / "nodes", 3, *OPTIONS, environment=clocks.environment) as nodes,
        nodes.client(0) as client,
    ):
        again = time.monotonic()
        gone_s = (before - client.pttl("r")) / 1000
        assert again - asked - STOP_S / 2 < gone_s < time.monotonic() - begun + 0.1, (
            "all of it, at most a note that came late; never more"
        )
        assert log_time(nodes)["jumps"] == 0


def test_an_administrator_sets_the_calendar_and_every_deadline_keeps_what_was_left(
    tmp_path: Path,
) -> None:
    """A cluster of one, whose clock was a year ahead when it was made: nothing else tells it so."""
    clocks = WrongClocks(tmp_path, 1)
    clocks.set(0, "+365d")
    with (
        DevCluster(tmp_path / "nodes", 1, *OPTIONS, environment=clocks.environment) as nodes,
        nodes.client(0) as client,
    ):
        client.set("r", 5, ex=100)
        assert abs(client.expiretime("r") - time.time() - 365 * 86_400) < 200
        now_ms = int(time.time() * 1000)
        assert nodes.admin(0, "RAFT.TIME", str(now_ms)) == b"OK"
        assert 60 < client.ttl("r") <= 100
        assert abs(client.expiretime("r") - time.time() - 90) < 60
        assert (
            nodes.admin(0, "RAFT.WITNESS", "apiserver", str(now_ms), "1000", str(90 * DAY_MS))
            == b"OK"
        )
        assert log_time(nodes)["witnesses"] == ["apiserver"]
        with pytest.raises(Exception, match="is not a time in ms"):
            nodes.admin(0, "RAFT.TIME", "tomorrow")
        for wrong in (now_ms // 1000, -now_ms, 999_999_999_999_999_999):
            with pytest.raises(Exception, match="between the years 2000 and 9999"):
                nodes.admin(0, "RAFT.TIME", str(wrong))
