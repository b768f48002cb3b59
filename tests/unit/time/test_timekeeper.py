"""What a leader makes of the members' clocks (timekeeper.py): the table in docs/internals/time.md,
row by row."""

from __future__ import annotations

import pytest
from counter_node.counters.batches import Calendar, Jump
from counter_node.replica.log_time import UNKNOWN, ClockAnswer, ClockAsk, LogTime, Note
from counter_node.replica.timekeeper import Timekeeper

DAY = 86_400_000
HOUR = 3_600_000
UTC = 1_800_000_000_000


class Machine:
    """After a stop of a week: log time and calendar are those of when it began."""

    time_ms, level, offset_ms = 1_000, 4, UTC - 7 * DAY - 1_000
    calendar_agreed, gap, marks, jumps = True, True, 1, (0, 0)


class Leader:
    def __init__(self, walls: list[int | None], *, synchronised: bool = False) -> None:
        """Wall clocks minus true time; the first is the leader's own, None does not answer."""
        self.running, self.machine, self.own = 0.0, Machine(), walls[0] or 0
        self.voters = range(len(walls))
        self.walls = walls
        time = LogTime(
            lambda: int(UTC + self.running + self.own),
            lambda: self.running,
            lambda: self.machine,
            Note(1_000, 0),
        )
        self.keeper = Timekeeper(0, time, lambda: synchronised)
        self.keeper.lead()
        self.pass_time(2_000)

    def pass_time(self, ms: int) -> None:
        for _ in range(ms // 1_000):
            self.running += 1_000
            self.keeper.tick()
            for node, wall in enumerate(self.walls):
                if node and wall is not None:
                    self.tells(node, int(UTC + self.running + wall))

    def tells(self, node: int, wall_ms: int, rate_ppm: int = 0, elapsed_ms: int = -1) -> None:
        self.keeper.heard(
            node,
            ClockAnswer(int((self.running - 10) * 1000), wall_ms, elapsed_ms, rate_ppm, 1),
            voter=True,
        )

    def decides(self) -> Jump | Calendar | None:
        return self.keeper.decide(self.voters, self.machine)

    def ahead_of_utc(self, jump: Jump) -> float:
        return jump.elapsed_ms + self.machine.offset_ms - (UTC + self.running)


@pytest.mark.parametrize(
    "walls",
    [
        [0, 0, 0], [0, 0, 8 * HOUR], [-HOUR, 0, 0], [0, -UTC, 0], [0, 0, None], [365 * DAY, 100,
        -100], [0, 0],
        [0, 0, 0, DAY, -DAY], [DAY, DAY, 0, 0, 0], [0, 0, 0, None, None],
    ],
)  # fmt: skip
def test_a_minority_of_wrong_clocks_does_not_matter_after_a_stop(walls: list[int | None]) -> None:
    leader = Leader(walls)
    jump = leader.decides()
    assert isinstance(jump, Jump)
    assert not jump.gap
    assert -1_000 <= leader.ahead_of_utc(jump) <= 0


@pytest.mark.parametrize(
    "walls",
    [
        [0, HOUR, None],
        [HOUR, 0, -HOUR],
        [0, None, None],
        [DAY, None, None],
        [0, 0, None, None, DAY],
        [0, DAY, 2 * DAY, 0, -DAY],
    ],
)
def test_without_a_majority_of_all_voters_nothing_jumps(walls: list[int | None]) -> None:
    leader = Leader(walls)
    assert leader.decides() is None
    leader.pass_time(90_000)
    assert leader.decides() is None


@pytest.mark.parametrize("wrong", [8 * HOUR, -HOUR, 365 * DAY, -UTC])
@pytest.mark.parametrize("own", [True, False])
def test_of_two_that_disagree_the_smaller_gap_counts_and_more_is_made_up_for_later(
    wrong: int, own: bool
) -> None:
    leader = Leader([wrong, 0] if own else [0, wrong])
    jump = leader.decides()
    if jump is not None:  # with a clock far behind there is nothing to make up for
        assert isinstance(jump, Jump)
        assert jump.gap
        assert leader.ahead_of_utc(jump) <= 0
    leader.keeper.witness("apiserver", UTC + leader.running, 1_000)
    settled = leader.decides()
    assert isinstance(settled, Jump)
    assert not settled.gap
    assert -2_000 <= leader.ahead_of_utc(settled) <= 0


def test_one_voter_needs_a_witness_or_a_kernel_that_vouches_for_a_minute() -> None:
    alone = Leader([0])
    alone.pass_time(100_000)
    assert alone.decides() is None
    alone.keeper.witness("apiserver", UTC + alone.running, 1_000)
    assert isinstance(alone.decides(), Jump)
    vouched = Leader([0], synchronised=True)
    assert vouched.decides() is None
    vouched.pass_time(60_000)
    assert isinstance(vouched.decides(), Jump)
    vouched.own = HOUR  # somebody sets it
    vouched.pass_time(1_000)
    assert vouched.decides() is None
    wrong = Leader([365 * DAY], synchronised=True)
    wrong.keeper.witness("apiserver", UTC + wrong.running, 1_000)
    wrong.pass_time(60_000)
    assert wrong.decides() is None
    wrong.keeper.witness("bucket", UTC + wrong.running, 1_000)
    assert isinstance(wrong.decides(), Jump)


def test_a_jump_is_capped_until_more_is_accepted() -> None:
    leader = Leader([0, 0, 0])
    leader.machine.offset_ms -= 60 * DAY
    assert leader.decides() is None
    assert leader.keeper.refused_jump_ms > 66 * DAY
    leader.keeper.max_jump_ms = 70 * DAY
    assert isinstance(leader.decides(), Jump)
    assert leader.keeper.refused_jump_ms == 0


def test_what_was_never_agreed_on_measures_no_stop() -> None:
    leader = Leader([0, 0, 0])
    leader.machine.calendar_agreed = False
    jump = leader.decides()
    assert jump == Jump(leader.keeper.time.now(), gap=False)


def test_the_calendar_follows_at_once_from_a_second_on_and_slowly_below() -> None:
    leader = Leader([0, 0, 30 * DAY])
    leader.machine.gap = False
    found = leader.decides()
    assert isinstance(found, Calendar)
    assert abs(found.offset_ms - leader.machine.offset_ms - 7 * DAY) < 20
    leader.machine.offset_ms = found.offset_ms - 600
    assert leader.decides() is None
    leader.pass_time(60_000)
    found = leader.decides()
    assert isinstance(found, Calendar)
    assert 0 < found.offset_ms - leader.machine.offset_ms <= 31
    leader.machine.offset_ms += 590
    assert leader.decides() is None


def test_a_member_that_stands_apart_is_named() -> None:
    leader = Leader([0, 0, HOUR])
    assert leader.keeper.apart(leader.voters, leader.voters) == [2]
    assert Leader([0, HOUR, None]).keeper.apart(range(3), range(3)) == [0, 1]
    assert Leader([0, None, None]).keeper.apart(range(3), range(3)) == []
    leader.machine.offset_ms += 7 * DAY
    offsets = leader.keeper.offsets_ms(leader.voters, leader.machine)
    assert abs(offsets[0]) < 20
    assert abs(offsets[2] - HOUR) < 20


def test_an_answer_from_before_a_start_or_too_old_says_nothing() -> None:
    leader = Leader([0, None, None])
    for asked_ms in (leader.running + 5_000, leader.running - 6_000):
        leader.keeper.heard(1, ClockAnswer(int(asked_ms * 1000), UTC, 5, 0, 1), voter=True)
    assert leader.keeper.offsets_ms(range(3), leader.machine).keys() == {0}


@pytest.mark.parametrize(
    ("voters", "rates", "off"),
    [
        (3, [1_100_000, 1_090_000], [1, 2]), (3, [900_000, 920_000], [1, 2]), (3, [1_100_000,
        1_000_000], []),
        (3, [1_100_000, 900_000], []), (2, [1_200_000], []), (5, [1_100_000, 1_000_000, 1_100_000,
        1_100_000], [1, 3, 4]),
        (5, [1_100_000, 1_100_000, 1_000_000, 1_000_000], []), (3, [0, 1_100_000], []),
    ],
)  # fmt: skip
def test_a_leader_whose_clock_runs_off_by_a_majority_hands_over(
    voters: int, rates: list[int], off: list[int]
) -> None:
    leader = Leader([0] * voters)
    for node, rate in enumerate(rates, 1):
        leader.tells(node, UTC, rate_ppm=rate)
    assert leader.keeper.runs_off(leader.voters) == off


def test_a_follower_tells_its_note_from_before_the_question() -> None:
    follower = Leader([0, 0, 0])
    follower.keeper.time.heard(50_000)
    found = follower.keeper.answer(ClockAsk(1, 7, 90_000, 0), 4, from_leader=True)
    assert (found.asked_us, found.elapsed_ms, found.log_term) == (7, 50_000, 4)
    assert follower.keeper.time.now() == 90_000
    follower.keeper.answer(ClockAsk(1, 7, 10, 0), 4, from_leader=False)
    assert follower.keeper.time.now() == 90_000


@pytest.mark.parametrize(
    ("own", "offers", "marked"),
    [
        (9_000, [9_010, 8_990], False),  # all are of one line
        (9_000, [9_010, None], True),  # who is silent may have a note that says more
        (9_000, [8_000, 8_000], True),  # one's own does
        (8_000, [8_000, 9_000], True),
        (9_000, [9_000, UNKNOWN], False),  # without a note nobody says more
    ],
)
def test_who_may_be_late_by_what_was_not_reported_marks_a_gap(
    own: int, offers: list[int | None], marked: bool
) -> None:
    """Else the note that says more is taken up by a later leader, and what was stamped late
    meanwhile is gone early."""
    running, machine = 100.0, Machine()
    machine.gap = False
    time = LogTime(lambda: UTC, lambda: running, lambda: machine, Note(own, running), second=True)
    keeper = Timekeeper(0, time, lambda: True)
    keeper.lead()
    for node, offer in enumerate(offers, 1):
        if offer is not None:
            keeper.heard(node, ClockAnswer(99_000, UTC, offer, 0, 1), voter=True)
    keeper.search(range(3), over=True)
    found = keeper.decide(range(3), machine)
    assert keeper.looking == marked
    assert (found == Jump(time.now(), gap=True)) == marked
    machine.marks += 1  # it is applied
    keeper.decide(range(3), machine)
    assert not keeper.looking


def test_an_answer_counts_only_from_who_has_all_that_the_leader_has_in_its_log() -> None:
    """Another may have missed the mark of a gap, and its note is of the line before."""
    running, machine = 100.0, Machine()
    time = LogTime(lambda: UTC, lambda: running, lambda: machine, Note(9_000, running), second=True)
    keeper = Timekeeper(0, time, lambda: True)
    keeper.lead()
    for node in (1, 2):
        keeper.heard(node, ClockAnswer(99_000, UTC, 50_000, 0, 1), voter=False)
    keeper.search(range(3), over=False)
    assert keeper.looking, "nobody has answered who counts"
    keeper.search(range(3), over=True)
    assert time.now() == 9_000


def test_without_news_and_without_a_gap_nothing_is_checked_again() -> None:
    """Ticks are ten times as many as answers."""
    leader = Leader([0, HOUR, HOUR])
    leader.machine.gap = False  # type: ignore[misc]
    leader.machine.offset_ms = UTC  # type: ignore[misc]
    checked: list[float] = []
    agreed = leader.keeper.agreed
    leader.keeper.agreed = lambda voters: checked.append(leader.running) or agreed(voters)  # type: ignore[method-assign,func-returns-value]
    assert isinstance(leader.decides(), Calendar)
    for _ in range(9):
        leader.running += 100
        assert leader.decides() is None
    assert len(checked) == 1
    leader.pass_time(1_000)
    leader.decides()
    assert len(checked) == 2
