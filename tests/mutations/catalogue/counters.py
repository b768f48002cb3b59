"""Breakages of the state machine: what counts once, what expires, what belongs to whom."""

from __future__ import annotations

from typing import Any

from counter_node.counters import execution, keyspace, levels, machine, weights, within
from counter_node.counters.accounts import Account
from counter_node.counters.batches import OutcomeKind
from counter_node.counters.notes import Notes
from counter_node.counters.producer import NOTHING
from counter_node.counters.producers import Producers
from counter_node.counters.sessions import Sessions
from counter_node.counters.state import State
from counter_node.counters.watches import Watches
from counter_node.counters.within import Search
from counter_node.replica.gateway import Gateway

from tests.mutations.breakage import Patch, mutation


@mutation(
    "a batch that arrives twice is executed twice", tests=("tests/unit/counters", "tests/unit/raft")
)
def batch_executed_twice(patch: Patch) -> None:
    original = Sessions.admit

    def admit(self: Sessions, session: int, number: int, time_ms: int) -> OutcomeKind:
        kind = original(self, session, number, time_ms)
        return OutcomeKind.EXECUTED if kind is OutcomeKind.DUPLICATE else kind

    patch(Sessions, "admit", admit)


@mutation("a repeated request is executed again", quick=True)
def request_executed_twice(patch: Patch) -> None:
    patch(Producers, "_recall", staticmethod(lambda producer, sequence: NOTHING))


@mutation("a snapshot without its table of sessions", quick=True)
def sessions_not_in_the_snapshot(patch: Patch) -> None:
    patch(Sessions, "dump", lambda self: [])


@mutation("a snapshot without its table of producers", "everything", "only membership", quick=True)
def producers_not_in_the_snapshot(patch: Patch) -> None:
    patch(Producers, "dump", lambda self: [])


@mutation("a gateway gives its batch a new number when it sends it again", quick=True)
def batch_numbered_again(patch: Patch) -> None:
    original = Gateway.proposal

    def proposal(self: Gateway, route: Any) -> bytes | None:
        batch = self._in_flight
        if (
            batch is not None
            and not batch.answered
            and batch.route != route
            and self.session is not None
        ):
            self._in_flight = None
            self.writes.put_back(batch.bundles, batch.ops)
            self._mixed = True
        return original(self, route)

    patch(Gateway, "proposal", proposal)


@mutation("what is due can still be read", tests=("tests/unit/counters",))
def due_is_seen(patch: Patch) -> None:
    patch(State, "is_due", lambda self, key: False)


@mutation("a write finds what is due", tests=("tests/unit/counters",))
def due_is_written(patch: Patch) -> None:
    patch(State, "fetch", lambda self, key: self.values.get(key))


@mutation(
    "older members' clusters remove what is due in slices, too", tests=("tests/unit/counters",)
)
def slices_below_their_level(patch: Patch) -> None:
    patch(machine, "SLICES_LEVEL", 1)


@mutation("the bytes of what is removed stay counted", tests=("tests/unit/counters",))
def bytes_are_kept(patch: Patch) -> None:
    original = State._drop

    def drop(self: State, key: bytes) -> None:
        before = self.size_bytes
        original(self, key)
        self.size_bytes = before

    patch(State, "_drop", drop)


@mutation(
    "a snapshot forgets the counters that went while it was made",
    tests=("tests/unit/counters/test_dump.py",),
)
def dump_without_the_gone(patch: Patch) -> None:
    patch(Notes, "left", lambda self, key: None)


@mutation("a snapshot has the order that its node came to", tests=("tests/unit/counters",))
def order_of_the_past(patch: Patch) -> None:
    patch(keyspace, "in_order", list)


@mutation(
    "long names fill the room that is set apart for a snapshot",
    tests=("tests/unit/counters/test_weights.py",),
)
def snapshots_unweighed(patch: Patch) -> None:
    patch(weights, "taken", lambda state, dump: state)


@mutation("a producer answers every user", tests=("tests/unit/counters",))
def producers_of_everybody(patch: Patch) -> None:
    patch(
        Producers,
        "place_of",
        lambda self, user, name, sequence, time_ms: self.place(name, sequence, time_ms),
    )


@mutation(
    "a user makes more than its limit allows",
    "everything",
    tests=("tests/unit/counters/test_accounts.py",),
)
def limits_of_users_not_asked(patch: Patch) -> None:
    patch(Account, "passes", lambda self, keys, size_bytes: "")


@mutation("a snapshot forgets whom a counter belongs to", "everything", "snapshots")
def owners_not_restored(patch: Patch) -> None:
    patch(State, "take_owners", lambda self, piece: None)


@mutation(
    "what is deleted stays on its owner's account", tests=("tests/unit/counters/test_accounts.py",)
)
def owners_pay_for_ever(patch: Patch) -> None:
    patch(State, "_disown", lambda self, key: None)


@mutation(
    "a user's commands below the level are in the log with their user",
    tests=("tests/unit/counters/test_accounts.py",),
)
def users_below_their_level(patch: Patch) -> None:
    patch(levels, "USERS_LEVEL", 1)


@mutation(
    "a listing tells what is beyond a user's patterns",
    tests=("tests/unit/counters/test_within.py",),
)
def foreign_names_shown(patch: Patch) -> None:
    patch(within, "match_of", lambda patterns: lambda name: True)


@mutation(
    "whoever watches first loses its watch to who watches most",
    tests=("tests/unit/counters/test_watches.py",),
)
def the_oldest_watch_of_all_goes(patch: Patch) -> None:
    patch(Watches, "_shorten", lambda self, user, what: self.end(next(iter(self._table))))


@mutation(
    "SCAN's cursor is the place of a foreign counter", tests=("tests/unit/counters/test_within.py",)
)
def foreign_places_shown(patch: Patch) -> None:
    def scan(self: Search, state: State, cursor: int, count: int, pattern: bytes | None) -> Any:
        following, names = state.index.page(cursor, count)
        return [b"%d" % following, [n for n in names if self._match(n)]]
        yield

    patch(Search, "_scan", scan)


@mutation("a RANDOMKEY weighs as little as a GET", tests=("tests/unit/counters/test_slices.py",))
def light_randomkey(patch: Patch) -> None:
    patch(execution, "_RANDOM", 2)


@mutation("a page of the index is free", tests=("tests/unit/counters/test_slices.py",))
def light_scan(patch: Patch) -> None:
    patch(execution, "_BUCKET", 2)
