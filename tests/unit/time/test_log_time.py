"""The node's own stopwatch and note (log_time.py), rates (rate_meter.py), the note's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from counter_node.counters import batches
from counter_node.raft.types import Entry, EntryKind
from counter_node.replica.log_time import (
    UNKNOWN,
    ClockAnswer,
    LogTime,
    Note,
    holds,
    is_mark,
    worth_keeping,
)
from counter_node.replica.rate_meter import RateMeter
from counter_node.storage import clock_note


class State:
    time_ms = 1_000
    level = 4


class Bench:
    def __init__(self, note: Note | None = None, *, second: bool = False) -> None:
        self.wall, self.running, self.state = 5_000_000, 0.0, State()
        self.time = LogTime(
            lambda: self.wall, lambda: self.running, lambda: self.state, note, second=second
        )


def tell(elapsed_ms: int) -> ClockAnswer:
    return ClockAnswer(0, 0, elapsed_ms, 0, 1)


def test_no_step_of_the_wall_moves_log_time() -> None:
    bench = Bench(Note(1_000, 0))
    for wall in (0, 10**15, -(10**12)):
        bench.wall = wall
        bench.running += 10
        bench.time.lead()
        assert bench.time.stamp() == 1_000 + bench.running


def test_a_new_leader_goes_on_from_its_note_and_renews_nothing() -> None:
    bench = Bench()
    bench.running = 50
    bench.time.heard(2_000)
    bench.running += 700
    bench.time.lead()
    assert not bench.time.searching
    assert bench.time.stamp() == 2_700


def test_what_was_stamped_less_binds_too() -> None:
    bench = Bench(Note(9_000, 0))
    bench.time.heard(8_000)
    assert bench.time.lowered
    bench.time.lead()
    assert bench.time.stamp() == 8_000


@pytest.mark.parametrize(
    ("offers", "expected"),
    [([], 1_500), ([3_000], 3_000), ([3_000, 4_000], 3_000), ([5_000, 3_000, 4_000], 4_000)],
)
def test_a_note_from_the_disk_is_second_to_those_of_others(
    offers: list[int], expected: int
) -> None:
    bench = Bench(Note(1_500, 0), second=True)
    bench.time.lead()
    assert bench.time.searching
    for node, elapsed in enumerate([*offers, UNKNOWN]):
        bench.time.offered(node, tell(elapsed))
    bench.time.search_ends()
    assert bench.time.stamp() == expected


def test_the_state_is_never_ahead_of_a_stamp() -> None:
    bench = Bench(Note(10, 0))
    assert bench.time.stamp() == State.time_ms
    bench.running += 5
    assert bench.time.stamp() == State.time_ms + 5


@pytest.mark.parametrize(
    ("wall_step", "low", "high"),
    [(3_600_000, 60_900, 65_100), (-3_600_000, 56_900, 57_100), (0, 59_900, 60_100)],
)
def test_below_level_4_the_wall_is_kept_within_what_the_running_clock_says(
    wall_step: int, low: int, high: int
) -> None:
    bench = Bench()
    bench.state.level = 3
    bench.time.lead()
    first = bench.time.stamp()
    assert first == bench.wall
    for _ in range(60):
        bench.running += 1_000
        bench.wall += 1_000
        if wall_step:
            bench.wall, wall_step = bench.wall + wall_step, 0
        last = bench.time.stamp()
    assert low <= last - first <= high
    bench.time.lead()  # the next term begins where this one is
    bench.running += 1_000
    assert abs(bench.time.stamp() - last - 1_000) <= 1_100


def test_a_mark_is_known_from_its_bytes_and_ends_notes_of_the_disk() -> None:
    def entry(index: int, body: object) -> Entry:
        return Entry(index, 1, EntryKind.DATA, batches.stamp(5, batches.encode(body)))

    mark, jump, tick = (
        entry(7, batches.Jump(9, True)),
        entry(8, batches.Jump(9, False)),
        entry(9, batches.Tick()),
    )
    assert [is_mark(e) for e in (mark, jump, tick, Entry(1, 1, EntryKind.NOOP, b""))] == [
        True,
        False,
        False,
        False,
    ]
    assert holds(7, 3, [mark, jump, tick])
    assert not holds(6, 3, [mark, jump, tick])
    assert holds(6, 3, [jump, tick])
    assert not holds(6, 8, [tick])


@pytest.mark.parametrize(
    ("rate", "delays"), [(1.0, [0]), (1.1, [0]), (0.9, [0]), (1.0, [0, 3_000, 10, 0, 40, 2_000, 0])]
)
def test_a_rate_is_measured_and_no_late_message_changes_it(rate: float, delays: list[int]) -> None:
    meter = RateMeter()
    for second in range(140):
        delay = delays[second % len(delays)]
        meter.heard(1, 0, int(second * 1_000 * rate), second * 1_000 + delay)
    assert abs(meter.rate_ppm / 1_000_000 - rate) < 0.01


def test_a_jump_or_another_leader_begins_the_measuring_again() -> None:
    meter = RateMeter()
    for second in range(100):
        meter.heard(
            1 if second < 50 else 2,
            0,
            second * 1_000 + (7 * 86_400_000 if second >= 50 else 0),
            second * 1_000,
        )
        assert meter.rate_ppm == 0


def test_the_note_on_the_disk_is_of_one_boot(tmp_path: Path) -> None:
    note = Note(123, 456.5)
    assert clock_note.load(tmp_path, "boot", 1_000) is None
    assert clock_note.save(tmp_path, "boot", note, 17)
    assert clock_note.load(tmp_path, "boot", 1_000) == (note, 17)
    assert clock_note.load(tmp_path, "other", 1_000) is None
    assert clock_note.load(tmp_path, "", 1_000) is None
    assert clock_note.load(tmp_path, "boot", 400) is None, "the machine was set back"
    (tmp_path / clock_note.FILE).write_bytes(b"{torn")
    assert clock_note.load(tmp_path, "boot", 1_000) is None
    assert not clock_note.save(tmp_path / "not there", "boot", note, 17), "so it is tried again"


def test_an_idle_node_does_not_write_what_the_disk_says_already() -> None:
    kept = Note(1_000, 500)
    assert worth_keeping(None, kept, 17)
    assert not worth_keeping((kept, 17), Note(61_000, 60_500), 17), (
        "a minute later, on the same line"
    )
    assert worth_keeping((kept, 17), Note(61_000, 60_500), 18), "a mark may be in between"
    assert not worth_keeping((kept, 17), Note(61_050, 60_500), 17), (
        "late is allowed, and messages take now more, now less time"
    )
    assert worth_keeping((kept, 17), Note(61_200, 60_500), 17)
    assert worth_keeping((kept, 17), Note(60_990, 60_500), 17), "early is not"


def test_the_kernel_is_asked_without_an_error() -> None:
    assert clock_note.synchronised() in (True, False)
    assert clock_note.boot_id()
