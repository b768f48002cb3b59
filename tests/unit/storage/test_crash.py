"""Storage against a model, with a crash before any operation on the disk, also while recovering
from the last crash."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass

from counter_node.raft.types import Entry, HardState, Snapshot
from counter_node.storage import Failpoints, Recovered, Storage
from counter_node.storage.segments import segment_name
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.sim_disk import CrashError, SimDisk
from tests.support.unit.storage_files import (
    CLUSTER,
    DIRECTORY,
    NODE,
    SEGMENT_BYTES,
    WAL,
    entries,
    entry,
    new_sim,
    open_sim,
    put,
    snapshot,
    take_snapshot,
)

SEEDS = st.integers(0, 2**32)
# Sizes around sectors and segments; b"\0" exercises the mask.
DATA = st.sampled_from(
    [
        b"",
        b"x",
        b"y" * 100,
        b"z" * 481,
        b"abcdefgh" * 150,
        b"\0" * 1200,
        b"\xff" * 900,
        b"big!" * 1100,
    ]
)

NEW = HardState()


@dataclass(frozen=True)
class State:
    """What a reopened storage must report."""

    hard_state: HardState = NEW
    snapshot: Snapshot | None = None
    entries: tuple[Entry, ...] = ()

    @property
    def first(self) -> int:
        return self.snapshot.meta.index + 1 if self.snapshot else 1

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1

    def term_at(self, index: int) -> int:
        if index < self.first:
            return self.snapshot.meta.term if self.snapshot else 0
        return self.entries[index - self.first].term

    def with_entries(self, new: list[Entry]) -> State:
        if not new:
            return self
        return State(
            self.hard_state, self.snapshot, self.entries[: new[0].index - self.first] + tuple(new)
        )

    def with_snapshot(self, taken: Snapshot) -> State:
        index = taken.meta.index
        keep = index <= self.last and self.term_at(index) == taken.meta.term
        return State(self.hard_state, taken, self.entries[index - self.first + 1 :] if keep else ())

    def with_hard_state(self, new: HardState) -> State:
        return State(new, self.snapshot, self.entries)


def as_state(recovered: Recovered) -> State:
    return State(recovered.hard_state, recovered.snapshot, tuple(recovered.entries))


class StorageUnderCrashes(RuleBasedStateMachine):
    """Promise: what was synced is there after any crash; what was written after that is there
    wholly or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk()
        self.storage: Storage | None
        self.storage, _ = open_sim(self.disk)
        self.synced = State()
        self.pending: State | None = None
        self.last_node_id = NODE

    # -- what a node does

    def _run(
        self, crash_after: int | None, seed: int, power: bool, action: str, *arguments: object
    ) -> bool:
        """One call; with `crash_after` the machine dies before that many operations on the disk.
        Tells whether it survived."""
        assert self.storage is not None
        self.disk.steps_left = crash_after
        try:
            getattr(self.storage, action)(*arguments)
            self.disk.steps_left = None
        except CrashError:
            self._die_and_recover(seed, power)
            return False
        return True

    def _write(
        self, crash_after: int | None, seed: int, power: bool, state: State, *arguments: object
    ) -> None:
        self.pending = state
        if self._run(crash_after, seed, power, "write", *arguments) and self._run(
            crash_after, seed, power, "sync"
        ):
            self.synced, self.pending = state, None

    @rule(
        data=st.lists(DATA, max_size=3), back=st.integers(0, 3), term=st.integers(0, 1),
        commit=st.booleans(),
        crash_after=st.none() | st.integers(0, 12), seed=SEEDS, power=st.booleans(),
    )  # fmt: skip
    def write(
        self,
        data: list[bytes],
        back: int,
        term: int,
        commit: bool,
        crash_after: int | None,
        seed: int,
        power: bool,
    ) -> None:
        old = self.synced
        state = old
        hard_state = None
        if commit or term or not old.hard_state.term:
            new_term = max(1, old.hard_state.term + term)
            vote = old.hard_state.vote if new_term == old.hard_state.term else NODE * (seed % 2)
            hard_state = HardState(new_term, vote, old.last)
            state = state.with_hard_state(hard_state)
        first = max(old.first, old.last + 1 - back)
        new = [
            entry(index, state.hard_state.term, value) for index, value in enumerate(data, first)
        ]
        if new or hard_state:
            self._write(crash_after, seed, power, state.with_entries(new), hard_state, new)

    @rule(
        ahead=st.integers(-4, 6),
        size=st.sampled_from([0, 10, 5000]),
        crash_after=st.none() | st.integers(0, 20),
        seed=SEEDS,
        power=st.booleans(),
    )
    def take_or_install_snapshot(
        self, ahead: int, size: int, crash_after: int | None, seed: int, power: bool
    ) -> None:
        old = self.synced
        index = max(old.first, old.last + ahead)
        inside = index <= old.last
        term = old.term_at(index) if inside and seed % 4 else old.hard_state.term
        if not term:
            return
        taken = snapshot(index, term, bytes([index % 256]) * size)
        if self._run(crash_after, seed, power, "save_snapshot", taken):
            self._write(crash_after, seed, power, old.with_snapshot(taken), None, [], taken.meta)

    @precondition(lambda self: self.synced.snapshot is not None)
    @rule(
        less=st.integers(0, 3),
        crash_after=st.none() | st.integers(0, 12),
        seed=SEEDS,
        power=st.booleans(),
    )
    def compact(self, less: int, crash_after: int | None, seed: int, power: bool) -> None:
        self._run(crash_after, seed, power, "compact", self.synced.first - less)

    # -- what happens to it

    @rule(seed=SEEDS, power=st.booleans(), crash_again=st.none() | st.integers(0, 25))
    def crash(self, seed: int, power: bool, crash_again: int | None) -> None:
        self._die_and_recover(seed, power, crash_again)

    @rule(data=DATA, seed=SEEDS, power=st.booleans(), crash_again=st.none() | st.integers(0, 25))
    def crash_between_write_and_sync(
        self, data: bytes, seed: int, power: bool, crash_again: int | None
    ) -> None:
        assert self.storage is not None
        if self.synced.hard_state.term:
            new = [entry(self.synced.last + 1, self.synced.hard_state.term, data)]
            self.pending = self.synced.with_entries(new)
            self.storage.write(None, new)
            self._die_and_recover(seed, power, crash_again)

    @rule()
    def close_and_reopen(self) -> None:
        assert self.storage is not None
        self.storage.close()
        self._recover()

    def _die_and_recover(self, seed: int, power: bool, crash_again: int | None = None) -> None:
        chance = random.Random(seed)
        self._die(chance, power)
        while crash_again is not None:
            self.disk.steps_left = crash_again
            try:
                open_sim(self.disk)
            except CrashError:
                crash_again //= 2
            else:
                crash_again = None
            if crash_again == 0:
                crash_again = None
            self._die(chance, chance.random() < 0.5)
        self._recover()
        # Whatever was reported is durable: a power failure right now must not take any of it back.
        self._die(None, True)
        self._recover()

    def _die(self, chance: random.Random | None, power: bool) -> None:
        if power:
            self.disk.crash(chance if chance is None or chance.random() < 0.9 else None)
        else:
            self.disk.kill()

    def _recover(self) -> None:
        self.storage, recovered = open_sim(self.disk)
        assert recovered.node_id == NODE
        found = as_state(recovered)
        allowed = [self.synced] if self.pending is None else [self.synced, self.pending]
        assert found in allowed, f"found {found}\nallowed {allowed}"
        self.synced, self.pending = found, None
        if recovered.repaired is not None:
            assert any(
                name.startswith("torn-") and name in recovered.repaired
                for name in self.disk.list_dir(WAL)
            )

    @invariant()
    def positions_agree(self) -> None:
        assert self.storage is not None
        assert (self.storage.first_index, self.storage.last_index) == (
            self.synced.first,
            self.synced.last,
        )


TestStorageUnderCrashes = StorageUnderCrashes.TestCase
TestStorageUnderCrashes.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_an_unfinished_change_of_segments_is_finished_durably_even_on_a_full_disk() -> None:
    """With room, the allocation of the next segment syncs the directory as well; here there is
    none."""
    finished = 0
    for step in range(12):
        disk, storage = new_sim()
        put(storage, entries(1, 1, size=3000))
        storage.write(None, entries(2, 2, size=500))
        disk.steps_left = step
        with contextlib.suppress(CrashError):
            storage.sync()
        disk.crash(None)
        had = len(disk.list_dir(WAL))
        full = Failpoints("storage.allocate.wal=enospc")
        storage, before = Storage.open(
            DIRECTORY, CLUSTER, segment_bytes=SEGMENT_BYTES, disk=disk, failpoints=full
        )
        finished += len(disk.list_dir(WAL)) == had == 2
        put(storage, entries(storage.last_index + 1, storage.last_index + 1))
        disk.crash(None)
        assert open_sim(disk)[1].entries == before.entries + entries(
            len(before.entries) + 1, len(before.entries) + 1
        )
    assert finished


def test_a_snapshot_saved_again_is_never_half_of_it() -> None:
    """The one in force stays readable whatever happens while it is written again, e.g. because a
    leader sent it once more."""
    for step in range(10):
        disk, storage = new_sim()
        put(storage, entries(1, 5))
        taken = snapshot(3, state=b"s" * 3000)
        take_snapshot(storage, taken)
        disk.steps_left = step
        with contextlib.suppress(CrashError):
            storage.save_snapshot(taken)
        disk.crash(random.Random(step))
        assert open_sim(disk)[1].snapshot == taken


def test_a_torn_frame_is_not_overwritten_before_its_copy_is_durable() -> None:
    cut = 0
    for step in range(20):
        disk, storage = new_sim()
        start = len(disk.read(WAL / segment_name(1)).rstrip(b"\0"))
        storage.write(None, [entry(1, 1, b"t" * 1500)])
        file = disk.file(WAL / segment_name(1))
        file.cached[1024:1536] = bytes(512)
        file.durable = bytearray(file.cached)
        torn = bytes(file.cached[start:]).rstrip(b"\0")
        disk.kill()
        disk.steps_left = step
        with contextlib.suppress(CrashError):
            open_sim(disk)
        disk.crash(None)
        if torn not in disk.read(WAL / segment_name(1)):
            cut += 1
            assert torn in [
                disk.read(WAL / name) for name in disk.list_dir(WAL) if name.startswith("torn-")
            ]
    assert cut
