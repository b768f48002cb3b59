"""Breakages of log time (docs/internals/time.md)."""

from __future__ import annotations

from typing import Any

from counter_node.counters.state import State
from counter_node.counters.table import Table
from counter_node.replica import agreed_time, time_entries, timekeeper
from counter_node.replica.log_time import ClockAnswer, LogTime

from tests.mutations.breakage import Patch, mutation

TIME_TESTS = ("tests/unit/time", "tests/simulation/test_clocks.py")


@mutation("a leader stamps its wall clock", "everything")
def wall_in_stamp(patch: Patch) -> None:
    patch(LogTime, "stamp", lambda self: max(self.now(), self.wall_ms()))


@mutation("a new leader does not go on from its note", tests=TIME_TESTS)
def note_lost_at_election(patch: Patch) -> None:
    original = LogTime.lead

    def lead(self: LogTime) -> None:
        self.note = None
        original(self)

    patch(LogTime, "lead", lead)


@mutation("a leader that looks for log time stamps all the same", tests=TIME_TESTS)
def stamps_while_it_looks(patch: Patch) -> None:
    patch(time_entries.TimeEntries, "unknown", lambda self: bool(self._led() and False))


@mutation("what was stamped less does not bind the next leader", tests=TIME_TESTS)
def note_never_lowered(patch: Patch) -> None:
    original = LogTime.heard

    def heard(self: LogTime, elapsed_ms: int) -> None:
        original(self, max(elapsed_ms, self.now()))

    patch(LogTime, "heard", heard)


@mutation("a leader marks no gap though it did not hear every note", tests=TIME_TESTS)
def late_line_not_marked(patch: Patch) -> None:
    original = timekeeper.Timekeeper.search

    def search(self: Any, voters: Any, *, over: bool) -> None:
        noted = self.time.note is not None
        original(self, voters, over=over)
        self.unmarked = self.unmarked and not noted

    patch(timekeeper.Timekeeper, "search", search)


@mutation("a jump goes by the upper end", tests=TIME_TESTS)
def upper_end(patch: Patch) -> None:
    original = agreed_time.agree

    def agree(intervals: Any, needed: int) -> Any:
        found = original(intervals, needed)
        return found and agreed_time.Interval(found.high, found.high)

    patch(timekeeper, "agree", agree)
    patch(agreed_time, "agree", agree)


@mutation("a majority of the answers is enough", tests=TIME_TESTS)
def majority_of_answers(patch: Patch) -> None:
    original = agreed_time.agree
    patch(
        timekeeper,
        "agree",
        lambda intervals, needed: original(intervals, max(1, agreed_time.majority(len(intervals)))),
    )


@mutation("an answer counts from who lacks what the leader has in its log", tests=TIME_TESTS)
def answers_of_an_older_line(patch: Patch) -> None:
    original = timekeeper.Timekeeper.heard

    def heard(self: Any, sender: int, answer: ClockAnswer, *, voter: bool) -> None:
        original(self, sender, answer, voter=True)

    patch(timekeeper.Timekeeper, "heard", heard)


@mutation("what was set since a stop is aged by the jump too", tests=TIME_TESTS)
def jump_ages_the_new(patch: Patch) -> None:
    original = State.jump

    def jump(self: State, time_ms: int, *, gap: bool) -> Any:
        if self.since_gap:
            self.since_gap = Table()
        return original(self, time_ms, gap=gap)

    patch(State, "jump", jump)


@mutation("a jump makes sessions and producers forgotten", tests=TIME_TESTS)
def jump_forgets(patch: Patch) -> None:
    patch(State, "running_ms", property(lambda self: self.time_ms))
