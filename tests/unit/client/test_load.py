"""The load generator finds a lost count and a doubled one."""

from __future__ import annotations

import functools
import json
import time

import pytest
from countercluster import Counters, load
from countercluster.tally import Tally

from tests.support.unit.counting_server import BOUND_S, CountingServer

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
def test_a_lost_and_a_doubled_count_are_found(
    change: int, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with CountingServer(*[""] * 30, f"forge {change}") as server:
        assert load.main(["--url", server.url, *COMMON, "--count", "60"]) == load.UNBALANCED
    assert json.loads(capsys.readouterr().out)[field] == 1


def test_a_value_that_was_answered_twice_is_found_although_the_sum_is_right() -> None:
    books = Tally()
    for value in (1, 2, 2, 4):
        now = time.monotonic()
        books.acknowledged(now - 0.001, now, value)
    closed = books.close(initial=0)
    closed.final = 4
    assert (closed.lost, closed.doubled, closed.repeated, closed.balanced) == (0, 0, 1, False)
    assert "ANSWERED TWICE 1" in closed.as_text()


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


def test_plain_increments_leave_unknown_outcomes_and_the_books_allow_for_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "Counters", functools.partial(Counters, attempt_s=BOUND_S))
    with CountingServer("lose-reply", "lose-request") as server:
        assert (
            load.main(["--url", server.url, *COMMON, "--count", "50", "--plain"]) == load.BALANCED
        )
    result = json.loads(capsys.readouterr().out)
    assert (result["acknowledged"], result["unknown"], result["delta"]) == (48, 2, 49)


def test_the_pace_is_kept_and_a_silence_does_not_make_up_for_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with CountingServer(*[""] * 40, *["LOADING no leader"] * 4) as server:
        words = [
            "--url",
            server.url,
            "--quiet",
            "--json",
            "--connections",
            "1",
            "--seconds",
            "0.5",
            "--rate",
            "200",
        ]
        assert load.main(words) == load.BALANCED
    assert json.loads(capsys.readouterr().out)["acknowledged"] <= 101


def test_a_silence_is_in_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    """The pauses between five attempts are 0.15 s at least; a busy machine makes them longer."""
    with CountingServer(*[""] * 20, *["LOADING no leader"] * 4) as server:
        assert (
            load.main(
                ["--url", server.url, "--quiet", "--json", "--connections", "1", "--count", "40"]
            )
            == load.BALANCED
        )
    result = json.loads(capsys.readouterr().out)
    assert 0.1 < result["gap"]["lengthSeconds"] <= result["seconds"]


def test_the_longest_silence_is_the_one_that_is_reported() -> None:
    books = Tally()
    start = time.monotonic()
    for value, after_s in enumerate((1, 2, 5, 6.5), 1):
        books.acknowledged(start + after_s - 0.001, start + after_s, value)
    closed = books.close(initial=0)
    assert closed.gap_length_s == pytest.approx(3)
    assert closed.gap_start_s == pytest.approx(2, abs=0.5)


def test_the_history_has_every_operation(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        load.main(["--url", server.url, *COMMON, "--count", "40", "--read-every", "5", "--history"])
    history = json.loads(capsys.readouterr().out)["history"]
    assert sorted(value for kind, _, _, value in history if kind == "add") == list(range(1, 41))
    assert sum(kind == "get" for kind, *_ in history) >= 4
    assert all(start <= end for _, start, end, _ in history)


def test_a_counter_that_cannot_be_read_is_not_called_balanced(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with CountingServer() as server:
        url = server.url
    assert load.main(["--url", url, *COMMON, "--deadline", "0.2"]) == load.UNREADABLE
    assert "could not be read" in capsys.readouterr().err


def test_the_text_tells_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    with CountingServer() as server:
        assert load.main(["--url", server.url, "--count", "10", "--quiet"]) == load.BALANCED
    assert "nothing lost, nothing doubled" in capsys.readouterr().out
