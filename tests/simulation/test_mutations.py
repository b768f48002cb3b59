"""The simulator is worth what it finds: each test breaks one rule of the node on purpose and requires that some seed notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from counter_node.counters.batches import OutcomeKind
from counter_node.counters.producers import Producers
from counter_node.counters.sessions import Sessions
from counter_node.gateway import Gateway
from counter_node.raft.core import Persist, Raft
from counter_node.raft.leadership import Leadership
from counter_node.raft.messages import AppendResponse, VoteRequest
from counter_node.raft.readindex import ReadQueue

from tests.simulation.scenario import run

MOST_SEEDS = 60


def noticed() -> str:
    """The first complaint of any seed."""
    for seed in range(1, MOST_SEEDS):
        try:
            run(seed)
        except AssertionError as error:
            return str(error).splitlines()[0]
    raise pytest.fail.Exception(f"{MOST_SEEDS} seeds noticed nothing")


def _with_hard_state(change: Callable[[Any], Any]) -> Callable[[Raft], Persist | None]:
    original = Raft.take_persist

    def take_persist(self: Raft) -> Persist | None:
        persist = original(self)
        if persist is None or persist.hard_state is None:
            return persist
        return Persist(change(persist.hard_state), persist.entries, persist.snapshot, persist.after)

    return take_persist


def test_a_commit_index_that_is_not_written_with_the_entries_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Raft, "take_persist", _with_hard_state(lambda h: msgspec.structs.replace(h, commit=0)))
    assert noticed()


def test_a_term_that_is_not_written_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Raft, "take_persist", _with_hard_state(lambda h: msgspec.structs.replace(h, term=max(1, h.term - 1), vote=0)))
    assert noticed()


def test_entries_acknowledged_before_they_are_durable_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Raft._on_append

    def on_append(self: Raft, sender: int, message: Any) -> None:
        original(self, sender, message)
        early = [(to, m) for to, m in self._after if isinstance(m, AppendResponse) and to != self.id]
        self._after = [pair for pair in self._after if pair not in early]
        self._messages.extend(early)

    monkeypatch.setattr(Raft, "_on_append", on_append)
    assert noticed()


def test_votes_for_candidates_with_an_older_log_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Raft._on_vote_request

    def on_vote_request(self: Raft, sender: int, message: VoteRequest) -> None:
        original(self, sender, msgspec.structs.replace(message, last_term=1 << 40, last_index=1 << 40))

    monkeypatch.setattr(Raft, "_on_vote_request", on_vote_request)
    assert "leader completeness" in noticed()


def test_reads_without_a_quorum_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ReadQueue.confirmed
    monkeypatch.setattr(ReadQueue, "confirmed", lambda self, voters: original(self, [self._leader]))
    assert "linearizable read" in noticed()


def test_reads_before_the_term_has_committed_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Leadership.read

    def read(self: Leadership, asker: int, read_id: int) -> None:
        self._term_start = 0
        original(self, asker, read_id)

    monkeypatch.setattr(Leadership, "read", read)
    assert "linearizable read" in noticed()


def test_read_ids_that_are_used_again_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """etcd's stale reads (3.4.20 to 2026): a retried request kept its id, so an old answer confirmed a new read."""
    monkeypatch.setattr(Gateway, "_fresh_read_id", lambda self: 1)
    assert "linearizable read" in noticed()


def test_batches_that_are_executed_twice_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Sessions.admit

    def admit(self: Sessions, session: int, number: int, time_ms: int) -> OutcomeKind:
        kind = original(self, session, number, time_ms)
        return OutcomeKind.EXECUTED if kind is OutcomeKind.DUPLICATE else kind

    monkeypatch.setattr(Sessions, "admit", admit)
    assert noticed()


def test_repeated_requests_that_are_executed_twice_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Producers, "once", lambda self, name, sequence, time_ms, execute: execute())
    assert noticed()


def test_sessions_that_are_not_in_snapshots_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sessions, "dump", lambda self: [])
    assert noticed()
