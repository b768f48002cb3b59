"""What the members' clocks say, and what a leader makes of it. Pure.

Once a second the leader asks all members (log_time.py), so it knows each one's wall clock within
half a round trip, and by how much log time runs faster or slower than each one's running clock. It
decides:

    Jump       after a full stop log time moves on by what a majority of all voters agrees on, at
               the lower bound.
    Calendar   UTC minus log time follows the agreed time both ways: at once from a second on,
               slowly below.
    hand over  when a majority of the voters finds that log time runs at another rate than their
               running clocks.

Rules:
1. An answer counts for `VALID_MS`. Who does not answer counts as wrong.
2. One and two voters also hear witnesses, clocks without a vote: a majority of both together. One
   voter without any trusts its own wall if the kernel calls it synchronised and it was not set for
   a minute.
3. Two voters that disagree: the smaller of their two gaps, as that is never early by one wrong
   clock.
4. A jump needs a calendar that was once agreed on, and is refused above `max_jump_ms`. While a gap
   is open the calendar stands.
5. Nothing is ever refused to a client for a clock, and no node ends for one.
6. Without a gap it looks again when somebody reported its clock, and once a second: ticks are many,
   and an idle cluster is to cost almost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple, Protocol

from counter_node.counters.batches import Calendar, Jump
from counter_node.raft.types import NodeId
from counter_node.replica.agreed_time import MARGIN_MS, Interval, agree, majority
from counter_node.replica.log_time import UNKNOWN, ClockAnswer, ClockAsk, LogTime
from counter_node.replica.rate_meter import RateMeter

ASK_MS: Final = 1_000
SEARCH_ASK_MS: Final = 100
VALID_MS: Final = 20_000
WITNESS_VALID_MS: Final = 120_000
MOST_WITNESSES: Final = 4
LONGEST_ROUND_MS: Final = 5_000
STEADY_MS: Final = 60_000
MAX_JUMP_MS: Final = 60 * 86_400_000
LEAST_JUMP_MS: Final = 500
STEP_MS: Final = 1_000
"""An error of the calendar from which on it is put right at once."""
SLACK_MS: Final = 50
SLEW: Final = 0.0005
SLEW_AFTER_MS: Final = 60_000
RATE_VALID_MS: Final = 150_000
RATE_LIMIT_PPM: Final = 50_000


class Sample(NamedTuple):
    """`clock`: a wall clock minus our running clock."""

    clock: Interval
    at_ms: float


class Machine(Protocol):
    """What is read of the replicated state."""

    @property
    def offset_ms(self) -> int: ...

    @property
    def calendar_agreed(self) -> bool: ...

    @property
    def gap(self) -> bool: ...

    @property
    def marks(self) -> int: ...

    @property
    def jumps(self) -> tuple[int, int]: ...


class Timekeeper:
    def __init__(self, me: NodeId, time: LogTime, synchronised: Callable[[], bool]) -> None:
        self.me, self.time = me, time
        self.max_jump_ms = MAX_JUMP_MS
        self.refused_jump_ms = 0  # what the clocks agree on, and is more than allowed
        self.unmarked = (
            False  # what the notes say may be late, or nobody has one, and no entry says so yet
        )
        self._marks: int | None = None  # as the mark was asked for
        self.meter = RateMeter()
        self._synchronised = synchronised
        self._samples: dict[NodeId, Sample] = {}
        self._witnesses: dict[str, Sample] = {}
        self._rates: dict[NodeId, tuple[int, float]] = {}  # ppm, and when it was reported
        self._answered: set[NodeId] = set()  # in this term
        self._asked_ms = self._slewed_ms = float("-inf")
        self._news = True  # since it was decided what goes into the log
        self._wall_offset = self._offset()
        self._steady_since_ms = time.running_ms()

    def _offset(self) -> float:
        return self.time.wall_ms() - self.time.running_ms()

    # --- of everybody -----------------------------------------------------------------------------

    def tick(self) -> None:
        offset = self._offset()
        if abs(offset - self._wall_offset) > MARGIN_MS:
            self._steady_since_ms = self.time.running_ms()  # somebody set it
        self._wall_offset = offset

    def answer(self, ask: ClockAsk, log_term: int, *, from_leader: bool) -> ClockAnswer:
        """What this node's clock and note say; then it notes what the leader says."""
        time = self.time
        note = time.note
        elapsed_ms = UNKNOWN if note is None else time.now()
        if from_leader and ask.elapsed_ms != UNKNOWN:
            line_ms = ask.elapsed_ms - ask.jumped_ms
            self.meter.heard(ask.term, ask.jumped_ms, line_ms, time.running_ms())
            time.heard(ask.elapsed_ms)
        return ClockAnswer(ask.asked_us, time.wall_ms(), elapsed_ms, self.meter.rate_ppm, log_term)

    def witness(self, name: str, utc_ms: float, error_ms: float) -> None:
        """A clock that stands for nobody's vote says that it is `utc_ms`, give or take."""
        running = self.time.running_ms()
        while len(self._witnesses) >= MOST_WITNESSES and name not in self._witnesses:
            del self._witnesses[next(iter(self._witnesses))]
        about = utc_ms - running
        error_ms += MARGIN_MS
        self._witnesses[name] = Sample(Interval(about - error_ms, about + error_ms), running)
        self._news = True

    # --- of a leader ------------------------------------------------------------------------------

    def lead(self) -> None:
        self.time.lead()
        self.unmarked = False
        self._answered, self._rates = set(), {}
        self._asked_ms = float("-inf")
        self._news = True
        self._slewed_ms = self.time.running_ms()
        self.refused_jump_ms = 0

    def ask(self, term: int, machine: Machine) -> ClockAsk | None:
        """To all members, when it is time."""
        time = self.time
        running = time.running_ms()
        if 0 <= running - self._asked_ms < (SEARCH_ASK_MS if self.looking else ASK_MS):
            return None
        self._asked_ms, self._news = running, True
        return ClockAsk(
            term, int(running * 1000), UNKNOWN if self.looking else time.now(), machine.jumps[1]
        )

    @property
    def looking(self) -> bool:
        """A leader that does not know log time yet, and must stamp nothing but the mark of a
        gap."""
        return self.time.searching or self.unmarked

    def heard(self, sender: NodeId, answer: ClockAnswer, *, voter: bool) -> None:
        """`voter`: one that has all that this leader has in its log."""
        running = self.time.running_ms()
        round_ms = running - answer.asked_us / 1000
        if not 0 <= round_ms <= LONGEST_ROUND_MS:
            return  # from before a start, or too old to say anything
        middle = answer.wall_ms - (running - round_ms / 2)
        reach = round_ms / 2 + MARGIN_MS
        self._samples[sender] = Sample(Interval(middle - reach, middle + reach), running)
        self._news = True
        if answer.rate_ppm:
            self._rates[sender] = (answer.rate_ppm, running)
        if voter:
            self._answered.add(sender)
            self.time.offered(sender, answer)

    def search(self, voters: Collection[NodeId], *, over: bool) -> None:
        """Ends when all voters have answered, or it is `over`."""
        time = self.time
        if not time.searching:
            return
        silent = set(voters) - self._answered - {self.me}
        if silent and not over:
            return
        agree = time.search_ends()
        if time.note is None:
            time.begin_again()
        elif agree and not silent:
            return
        self.unmarked = True
        self._marks = None

    def decide(self, voters: Collection[NodeId], machine: Machine) -> Jump | Calendar | None:
        """What is to be put into the log now. `machine` is to have applied all that is from earlier
        terms: it may hold a mark, or another calendar."""
        if self.time.searching:
            return None
        if self.unmarked and self._marks in (None, machine.marks):
            self._marks = machine.marks
            return Jump(self.time.now(), gap=True)
        self.unmarked = False
        if not (self._news or machine.gap):
            return None
        self._news = False
        agreed = self.agreed(voters)
        return (
            self._jump(agreed, voters, machine) if machine.gap else self._calendar(agreed, machine)
        )

    def _jump(
        self, agreed: Interval | None, voters: Collection[NodeId], machine: Machine
    ) -> Jump | None:
        time = self.time
        if not machine.calendar_agreed:
            return Jump(time.now(), gap=False)  # how long it was cannot be known
        low = agreed.low if agreed is not None else self._smaller_gap(voters)
        if low is None:
            return None
        target = int(time.running_ms() + low) - machine.offset_ms
        ahead = target - time.now()
        self.refused_jump_ms = ahead if ahead > self.max_jump_ms else 0
        if ahead < LEAST_JUMP_MS:
            return Jump(time.now(), gap=False) if agreed is not None else None
        return Jump(target, gap=agreed is None) if not self.refused_jump_ms else None

    def _smaller_gap(self, voters: Collection[NodeId]) -> float | None:
        clocks = self._clocks(voters)
        return min(c.low for c in clocks.values()) if len(voters) == 2 == len(clocks) else None

    def _calendar(self, agreed: Interval | None, machine: Machine) -> Calendar | None:
        if agreed is None:
            return None
        time = self.time
        running = time.running_ms()
        error = running + agreed.middle - time.now() - machine.offset_ms
        if abs(error) >= STEP_MS or not machine.calendar_agreed:
            self._slewed_ms = running
            return Calendar(machine.offset_ms + round(error))
        since = running - self._slewed_ms
        if abs(error) < SLACK_MS or since < SLEW_AFTER_MS:
            return None
        self._slewed_ms = running
        most = SLEW * since
        return Calendar(machine.offset_ms + round(max(-most, min(most, error))))

    # --- what the clocks say ----------------------------------------------------------------------

    def _clocks(self, nodes: Collection[NodeId]) -> dict[NodeId, Interval]:
        """Of an old answer as much is uncertain as our running clock may have run off since."""
        running = self.time.running_ms()
        clocks = {
            n: s.clock.widened(age * RATE_LIMIT_PPM / 1_000_000)
            for n, s in self._samples.items()
            if n in nodes and 0 <= (age := running - s.at_ms) < VALID_MS
        }
        if self.me in nodes:
            own = self._offset()
            clocks[self.me] = Interval(own - MARGIN_MS, own + MARGIN_MS)
        return clocks

    def witnesses(self) -> dict[str, Interval]:
        running = self.time.running_ms()
        return {
            w: s.clock
            for w, s in self._witnesses.items()
            if 0 <= running - s.at_ms < WITNESS_VALID_MS
        }

    def agreed(self, voters: Collection[NodeId]) -> Interval | None:
        """UTC minus our running clock."""
        clocks = list(self._clocks(voters).values())
        asked = len(voters)
        if asked <= 2:
            witnesses = self.witnesses()
            clocks += witnesses.values()
            asked += len(witnesses)
        if asked == 1 and not self._own_clock_is_good():
            return None
        return agree(clocks, majority(asked))

    def _own_clock_is_good(self) -> bool:
        return self.time.running_ms() - self._steady_since_ms >= STEADY_MS and self._synchronised()

    def apart(self, voters: Collection[NodeId], members: Collection[NodeId]) -> list[NodeId]:
        """Whose clock is not what was agreed on; everybody's when enough answered and nothing was
        agreed on."""
        agreed, clocks = self.agreed(voters), self._clocks(members)
        if agreed is None:
            answered = [n for n in clocks if n in voters]
            return (
                sorted(answered)
                if len(voters) > 1 and len(answered) >= majority(len(voters))
                else []
            )
        return sorted(n for n, clock in clocks.items() if not clock.meets(agreed))

    def offsets_ms(self, members: Collection[NodeId], machine: Machine) -> dict[NodeId, int]:
        """How far each wall clock is ahead of the calendar in the log."""
        calendar = self.time.now() + machine.offset_ms - self.time.running_ms()
        return {n: round(clock.middle - calendar) for n, clock in self._clocks(members).items()}

    def rates_ppm(self) -> dict[NodeId, int]:
        running = self.time.running_ms()
        return {
            n: rate
            for n, (rate, at_ms) in self._rates.items()
            if 0 <= running - at_ms < RATE_VALID_MS
        }

    def runs_off(self, voters: Collection[NodeId]) -> list[NodeId]:
        """The voters that find log time too fast, or too slow, if they are a majority of all. One
        or two voters cannot tell whose clock it is."""
        if len(voters) < 3:
            return []
        rates = {n: rate for n, rate in self.rates_ppm().items() if n in voters}
        for off in (
            [n for n, rate in rates.items() if rate > 1_000_000 + RATE_LIMIT_PPM],
            [n for n, rate in rates.items() if rate < 1_000_000 - RATE_LIMIT_PPM],
        ):
            if len(off) >= majority(len(voters)):
                return off
        return []
