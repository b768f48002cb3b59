"""Random logs, run by three replicas and a naive model: whatever happens, they agree.

origin    goes by slices, and runs its own full lists, reads included, as the gateway that made the
          batch does
replica   runs what is in the log
restored  is replaced by its own snapshot again and again
"""

from __future__ import annotations

from typing import Any

import pytest
from counter_node.counters import batches, effects, execution, sessions, state
from counter_node.counters import machine as machine_module
from counter_node.counters import ops as o
from counter_node.counters.batches import OutcomeKind
from counter_node.counters.machine import Machine
from counter_node.counters.replies import Failure
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.unit.counters_model import MAX, MAX_PRODUCERS, MIN, Model

MAX_KEYS = 5
KEYS = st.sampled_from([b"a", b"a", b"a", b"b", b"c", b"d", b"e", b"f", b"g"])
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([MIN, MIN + 1, MAX - 1, MAX]))
MS = st.one_of(st.integers(-5, 50), st.sampled_from([10, 20, 30]), st.integers(1, 10_000_000))
EXPIRIES = st.one_of(
    st.tuples(st.just(o.EX_IN), MS),
    st.tuples(st.just(o.EX_AT), st.integers(-5, 100_000_000)),
    st.tuples(st.sampled_from([o.EX_NONE, o.EX_KEEP]), st.just(0)),
)
SIMPLE_WRITES = st.one_of(
    st.tuples(st.just(o.INCRBY), KEYS, NUMBERS),
    st.tuples(st.just(o.INCRBY), KEYS, st.integers(-3, 3)),
    st.builds(
        lambda key, value, condition, expected, expiry, old: (o.SET, key, value, condition,
        expected, *expiry, old),
        KEYS, NUMBERS, st.sampled_from([o.ALWAYS, o.IF_ABSENT, o.IF_PRESENT, o.IF_EQUAL,
        o.IF_NOT_EQUAL]), NUMBERS, EXPIRIES, st.booleans(),
    ),
    st.tuples(st.just(o.DEL), st.lists(KEYS, min_size=1, max_size=3)),
    st.builds(
        lambda key, expiry, condition: (o.EXPIRE, key, *expiry, condition),
        KEYS, EXPIRIES.filter(lambda e: e[0] in (o.EX_IN, o.EX_AT)),
        st.sampled_from([o.ALWAYS, o.IF_ABSENT, o.IF_PRESENT, o.IF_GREATER, o.IF_LESS]),
    ),
    st.tuples(st.just(o.PERSIST), KEYS),
    st.builds(
        lambda key, delta, bounds, saturate, expiry, only_new: (o.INCREX, key, delta, min(bounds),
        max(bounds), saturate, *expiry, only_new),
        KEYS, NUMBERS, st.tuples(NUMBERS, NUMBERS), st.booleans(), EXPIRIES, st.booleans(),
    ),
    st.tuples(st.just(o.FLUSH)),
)  # fmt: skip
READS = st.one_of(
    st.tuples(st.just(o.GET), KEYS),
    st.tuples(st.just(o.MGET), st.lists(KEYS, min_size=1, max_size=3)),
    st.tuples(st.just(o.TTL), KEYS, st.sampled_from([1, 1_000]), st.booleans()),
    st.tuples(st.just(o.DBSIZE)),
)
MULTIS = st.builds(
    lambda inner: (o.MULTI, [list(op) for op in inner]),
    st.lists(st.one_of(SIMPLE_WRITES, READS), min_size=1, max_size=4),
)
SEQUENCES = st.one_of(
    st.integers(1, 6), st.sampled_from([1_024, 1_025, 1_026, 2_048, 2_050, 5_000, 80_000, 1 << 62])
)
IDMPS = st.builds(
    lambda user, name, sequence, inner: (o.IDMP_OF, user, name, sequence, list(inner)),
    st.sampled_from([b"u", b"u", b"w"]), st.sampled_from([b"p", b"q", b"r"]), SEQUENCES,
    st.one_of(SIMPLE_WRITES, MULTIS),
)  # fmt: skip
MINE = st.builds(
    lambda user, inner: (o.AS, user, inner if isinstance(inner, bytes) else list(inner)),
    st.sampled_from([b"u", b"v"]), st.one_of(SIMPLE_WRITES, MULTIS, KEYS),
)  # fmt: skip
# of bytes only for who has no producers: the model does not weigh those
LIMITS = st.fixed_dictionaries({
    b"u": st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.none()),
    b"v": st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.one_of(st.none(), st.integers(0,
    900))),
})  # fmt: skip
INCREMENTS = st.lists(KEYS, min_size=1, max_size=12)
OPS = (
    st.lists(
        st.one_of(SIMPLE_WRITES, SIMPLE_WRITES, READS, MULTIS, IDMPS, MINE).map(list),
        min_size=1,
        max_size=5,
    )
    | INCREMENTS
)


def alike(found: Any, expected: Any) -> bool:
    if expected == "expired":
        return isinstance(found, Failure) and found.startswith(b"IDMPEXPIRED ")
    if expected == "too many":
        return isinstance(found, Failure) and found.startswith(b"OOM ")
    if isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        return all(map(alike, found, expected))
    if expected == "too far":
        return isinstance(found, Failure) and b" ahead of the newest" in found
    return bool(found == expected) and isinstance(found, Failure) == isinstance(expected, Failure)


def visible(machine: Machine) -> dict[bytes, int]:
    """What clients can see: without what is due and not removed yet."""
    now = machine.time_ms
    return {
        key: value
        for key, value in machine.values.items()
        if machine.deadlines.get(key, now + 1) > now
    }


class ReplicasAndModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.origin, self.replica, self.restored = (
            Machine(MAX_KEYS, max_producers=MAX_PRODUCERS) for _ in range(3)
        )
        self.origin.track_dirty = True
        self.cache: dict[bytes, int] = {}
        self.model = Model(MAX_KEYS)
        self.index = 0
        self.clock_ms = 1_000
        self.next_number: dict[int, int] = {}

    @initialize()
    def begin(self) -> None:
        self.open_session()

    def _append(self, body: bytes, own: list[Any] | None) -> list[batches.Outcome]:
        self.index += 1
        entry = batches.stamp(self.clock_ms, body)
        asked: list[int] = []

        def substitute(session: int, number: int) -> list[Any] | None:
            asked.append(session)
            return own

        first = self.origin.begin(self.index, entry, substitute)
        while first is None:
            first = self.origin.go_on()
        outcomes = [
            first,
            self.replica.apply(self.index, entry, lambda s, n: None),
            self.restored.apply(self.index, entry, lambda s, n: None),
        ]
        assert bool(asked) == (outcomes[0].kind is OutcomeKind.EXECUTED), (
            "substitute is asked for executed batches only"
        )
        assert outcomes[0].kind is outcomes[1].kind is outcomes[2].kind
        assert outcomes[1].replies == outcomes[2].replies == [], (
            "replies are for the batch's own gateway"
        )
        self.model.pass_time(self.clock_ms)
        return outcomes

    @rule()
    def open_session(self) -> None:
        outcomes = self._append(batches.encode_open(77), None)
        assert (outcomes[0].kind, outcomes[0].session, outcomes[0].nonce) == (
            OutcomeKind.SESSION_OPENED,
            self.index,
            77,
        )
        self.model.open(self.index)
        self.next_number[self.index] = 1

    @rule(data=st.data(), ops=OPS, off_by=st.sampled_from([0, 0, 0, 0, 0, 0, -1, -1, -2, 1, 5]))
    def batch(self, data: st.DataObject, ops: list[Any], off_by: int) -> None:
        """Mostly the next of its session; sometimes one that was executed, that comes too early, or
        whose session is gone."""
        session = data.draw(st.sampled_from(sorted(self.next_number)))
        number = max(1, self.next_number[session] + off_by)
        writes = [op for op in ops if o.is_write(op)]
        outcomes = self._append(batches.encode_batch(session, number, writes), ops)
        kind = self.model.admit(session, number)
        assert outcomes[0].kind is kind
        if kind is not OutcomeKind.EXECUTED:
            assert outcomes[0].replies == []
            return
        self.next_number[session] += 1
        expected = [self.model.run(op) for op in ops]
        assert all(map(alike, outcomes[0].replies, expected)), (
            f"{outcomes[0].replies} instead of {expected}"
        )

    @rule(users=LIMITS)
    def limit_users(self, users: dict[bytes, tuple[int | None, int | None]]) -> None:
        rows = tuple(sorted((name, *most) for name, most in users.items() if most != (None, None)))
        self._append(batches.encode(batches.UserLimits(rows)), None)
        self.model.limits = {name: (keys, size) for name, keys, size in rows}
        assert self.origin.user_limits == self.restored.user_limits == rows

    @rule(
        ms=st.one_of(
            st.integers(0, 40),
            st.sampled_from([10, 20]),
            st.sampled_from([1_000, 3_599_999, 3_600_000, 86_400_000]),
        )
    )
    def time_passes(self, ms: int) -> None:
        self.clock_ms += ms
        self._append(batches.encode_tick(), None)

    @rule(ms=st.integers(1, 100_000))
    def a_leader_with_a_slower_clock(self, ms: int) -> None:
        before = self.origin.time_ms
        self.clock_ms = max(0, before - ms)
        self._append(batches.encode_tick(), None)
        assert self.origin.time_ms == before
        self.clock_ms = max(self.clock_ms, before - 50)

    @rule(ops=st.lists(READS.map(list), min_size=1, max_size=3))
    def read(self, ops: list[Any]) -> None:
        before = self.replica.checksum()
        assert self.replica.read(ops) == self.origin.read(ops) == [self.model.run(op) for op in ops]
        assert self.replica.checksum() == before

    @rule()
    def restore(self) -> None:
        data = self.restored.snapshot()
        self.restored = Machine.restore(data)
        assert self.restored.snapshot() == data

    @precondition(lambda self: self.origin.values)
    @rule(count=st.integers(1, 3))
    def scan(self, count: int) -> None:
        pages: list[list[Any]] = []
        for machine in (self.origin, self.restored):
            cursor, found = b"0", []
            while True:
                cursor, keys = machine.read([[o.SCAN, int(cursor), count, None]])[0]
                found.append(keys)
                if cursor == b"0":
                    break
            pages.append(found)
        assert pages[0] == pages[1]
        assert sorted(key for page in pages[0] for key in page) == sorted(self.model.counters)

    @invariant()
    def they_agree(self) -> None:
        values = {key: value for key, (value, _) in self.model.counters.items()}
        assert visible(self.origin) == values
        assert self.origin.read([[o.DBSIZE]]) == [len(values)]
        assert sorted(self.origin.read([[o.KEYS, b"*"]])[0]) == sorted(values)
        assert self.origin.checksum() == self.replica.checksum() == self.restored.checksum()
        for user in (b"u", b"v"):
            used = [(a.keys, a.size_bytes) for a, _ in self.restored.accounts() if a.name == user]
            if len(values) == len(self.origin.values):  # nothing is due and not removed
                assert (used or [(0, 0)]) == [self.model.used(user)]
        deadlines = [d for _, d in self.model.counters.values() if d is not None]
        assert self.origin.backlog == (len(values) < len(self.origin.values))
        assert self.origin.next_expiry_ms() == min(deadlines, default=None)

    @invariant()
    def a_cache_that_takes_what_changed_is_up_to_date(self) -> None:
        now = visible(self.origin)
        for key in self.origin.take_dirty():
            if key in now:
                self.cache[key] = now[key]
            else:
                self.cache.pop(key, None)
        gone = (
            self.origin.values.keys() - now.keys()
        )  # due: these expire in the cache by themselves
        assert {key: value for key, value in self.cache.items() if key not in gone} == now


@pytest.fixture(autouse=True, scope="module")
def small_tables() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr(sessions, "MOST", 3)
    patch.setattr(state, "SLICE", 1)
    patch.setattr(machine_module, "EVICTED", 1)
    patch.setattr(execution, "SLICE", 3)
    patch.setattr(execution, "_PIECE", 1)
    patch.setattr(effects, "PIECE", 1)
    yield
    patch.undo()


ReplicasAndModel.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestReplicasAndModel = pytest.mark.usefixtures("small_tables")(ReplicasAndModel.TestCase)
