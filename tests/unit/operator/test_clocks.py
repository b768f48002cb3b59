"""The members' clocks as the operator tells of them, and the API server's as it tells them
(clocks.py)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from countercluster_operator.model import Cluster, Spec
from countercluster_operator.world import clocks
from countercluster_operator.world.clocks import (
    LogTime,
    Witness,
    condition,
    log_time,
    news,
    remembered,
)
from countercluster_operator.world.replies import Refusal

HOUR_MS = 3_600_000
CLUSTER = Cluster("c", "ns", "uid", 1, Spec(), "image", "redis")
CLOCKS = (("a", "c-0", 12), ("b", "c-1", -HOUR_MS * 30), ("c", "c-2", 5_000))


@pytest.mark.parametrize(
    ("known", "status", "reason", "words"),
    [
        (None, None, "NotKnown", "no leader"),
        (LogTime(), None, "NotKnown", "no leader"),
        (LogTime(agreed=True, clocks=CLOCKS), False, "ClocksAgree", ""),
        (
            LogTime(agreed=True, apart=("b",), clocks=CLOCKS),
            True,
            "StandsApart",
            "c-1 (about a day behind)",
        ),
        (
            LogTime(agreed=False, apart=("b", "c"), clocks=CLOCKS),
            True,
            "NoMajority",
            "c-2 (about ten seconds ahead)",
        ),
        (
            LogTime(agreed=True, refused_jump_ms=70 * 24 * HOUR_MS),
            True,
            "JumpTooLong",
            "70 days; spec.clock.maxJumpDays is 60",
        ),
        (LogTime(agreed=True, runs_off=True), True, "LeaderRunsOff", "rate"),
    ],
)
def test_the_condition_names_who_stands_apart(
    known: LogTime | None, status: bool | None, reason: str, words: str
) -> None:
    kind, found, why, text = condition(CLUSTER, known)
    assert (kind, found, why) == ("ClocksDisagree", status, reason)
    assert words in text


def test_a_jump_is_reported_once_and_not_by_an_operator_that_is_new() -> None:
    jumped = LogTime(jumps=2, jumped_ms=8 * 24 * HOUR_MS, agreed=True)
    assert news(jumped, {}) == ""
    assert "jumped by 7 days" in news(jumped, {"clock": {"jumps": 1, "jumpedSeconds": 86_400}})
    assert news(jumped, {"clock": remembered(jumped, {})}) == ""
    assert news(None, {"clock": {"jumps": 1}}) == ""
    assert remembered(None, {"clock": {"jumps": 1, "jumpedSeconds": 1}}) == {
        "jumps": 1,
        "jumpedSeconds": 1,
    }


def test_a_node_of_an_older_version_tells_nothing() -> None:
    assert log_time(None) is None


class Api:
    def __init__(self) -> None:
        self.calls = 0
        self.answer: Any = (1_800_000_000_000.0, 600.0)

    async def clock(self) -> Any:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_the_api_servers_clock_is_sent_to_each_node_and_asked_for_rarely() -> None:
    api, known = Api(), []

    async def admin(ip: str, name: str, context: object, *command: str, timeout_s: float) -> None:
        known.append((ip, *command))
        if ip == "2":
            raise Refusal("ERR unknown command")

    async def scenario() -> None:
        witness = Witness(api, admin)  # type: ignore[arg-type]
        for _ in range(3):
            await witness.tell(CLUSTER, {"c-0": "1", "c-1": "2"}, None)
        assert api.calls == 1
        other = Api()
        other.answer = OSError("gone")
        await Witness(other, admin).tell(CLUSTER, {"c-0": "3"}, None)  # type: ignore[arg-type]

    asyncio.run(scenario())
    assert [row[0] for row in known] == ["1", "2"] * 3
    _ip, command, name, utc_ms, error_ms, most_ms = known[0]
    assert (command, name, error_ms, most_ms) == (
        "RAFT.WITNESS",
        clocks.NAME,
        "600",
        str(60 * 24 * HOUR_MS),
    )
    assert 0 <= int(utc_ms) - 1_800_000_000_000 < 60_000


def test_a_clock_that_runs_too_fast_does_not_change_the_condition_with_every_look() -> None:
    """The words of the condition are the status, which is written when they change."""
    for length_ms in (1_000, 60_000, HOUR_MS, 24 * HOUR_MS, 365 * 24 * HOUR_MS):
        words = {
            clocks.roughly(round(sign * length_ms * (1 + part / 100)))
            for part in range(-20, 21)
            for sign in (1, -1)
        }
        assert len(words) == 1, length_ms
    drifting = [
        clocks.roughly(5_000 + minute * 50) for minute in range(24 * 60)
    ]  # 50 ms a minute for a day
    assert len(set(drifting)) <= 3
