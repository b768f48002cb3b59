"""The load generator finds a lost count and a doubled one."""

from __future__ import annotations

import json
import threading
import time

import pytest
from countercluster import load
from countercluster.tally import Tally

from tests.unit.client.server import CountingServer

COMMON = ["--quiet", "--json", "--key", "k", "--connections", "4"]


def test_the_books_balance_when_replies_are_lost(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer(*["lose-reply", "", ""] * 20) as server:
        server.values[b"k"] = 7
        assert load.main(["--url", server.url, *COMMON, "--count", "200"]) == load.BALANCED
    result = json.loads(capsys.readouterr().out)
    assert (result["acknowledged"], result["delta"], result["initial"]) == (200, 200, 7)
    assert result["unknown"] == result["errors"] == result["lost"] == result["doubled"] == 0
    assert sum(result["perSecond"]) == 200
    assert result["latencyMilliseconds"]["p50"] > 0


@pytest.mark.parametrize(("change", "field"), [(-1, "lost"), (1, "doubled")])
def test_a_lost_and_a_doubled_count_are_found(change: int, field: str, capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        timer = threading.Timer(0.3, lambda: server.values.__setitem__(b"k", server.values[b"k"] + change))
        timer.start()
        assert load.main(["--url", server.url, *COMMON, "--seconds", "0.6", "--rate", "200"]) == load.UNBALANCED
    assert json.loads(capsys.readouterr().out)[field] == 1


def test_a_value_that_was_told_twice_is_found_although_the_sum_is_right() -> None:
    books = Tally()
    for value in (1, 2, 2, 4):
        now = time.monotonic()
        books.acknowledged(now - 0.001, now, value)
    closed = books.close(initial=0)
    closed.final = 4
    assert (closed.lost, closed.doubled, closed.repeated, closed.balanced) == (0, 0, 1, False)
    assert "TOLD TWICE 1" in closed.as_text()


def test_a_value_beyond_the_final_one_is_found() -> None:
    books = Tally()
    for value in (1, 3):
        now = time.monotonic()
        books.acknowledged(now - 0.001, now, value)
    closed = books.close(initial=0)
    closed.final = 2
    assert closed.outside
    assert not closed.balanced
    assert "OUTSIDE" in closed.as_text()


def test_plain_increments_leave_unknown_outcomes_and_the_books_allow_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer("lose-reply", "lose-request") as server:
        assert load.main(["--url", server.url, *COMMON, "--count", "50", "--plain"]) == load.BALANCED
    result = json.loads(capsys.readouterr().out)
    assert (result["acknowledged"], result["unknown"], result["delta"]) == (48, 2, 49)


def test_the_longest_silence_is_measured_and_the_pace_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer(*[""] * 100, *["LOADING no leader"] * 4) as server:
        start = time.monotonic()
        assert load.main(["--url", server.url, "--quiet", "--json", "--connections", "1", "--seconds", "1", "--rate", "300"]) == load.BALANCED
        assert time.monotonic() - start < 3
    result = json.loads(capsys.readouterr().out)
    assert result["acknowledged"] <= 301
    assert 0.1 < result["gap"]["lengthSeconds"] < 0.6
    assert 0.2 < result["gap"]["startSeconds"] < 0.6


def test_the_history_has_every_operation(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        load.main(["--url", server.url, *COMMON, "--count", "40", "--read-every", "5", "--history"])
    history = json.loads(capsys.readouterr().out)["history"]
    assert sorted(value for kind, _, _, value in history if kind == "add") == list(range(1, 41))
    assert sum(kind == "get" for kind, *_ in history) >= 4
    assert all(start <= end for _, start, end, _ in history)


def test_a_counter_that_cannot_be_read_is_not_called_balanced(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        url = server.url
    assert load.main(["--url", url, *COMMON, "--deadline", "0.2"]) == load.UNREADABLE
    assert "could not be read" in capsys.readouterr().err


def test_the_text_tells_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        assert load.main(["--url", server.url, "--count", "10", "--quiet"]) == load.BALANCED
    assert "nothing lost, nothing doubled" in capsys.readouterr().out
