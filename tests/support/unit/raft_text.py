"""Messages, entries and members as a line of a script shows them."""

from __future__ import annotations

import msgspec
from counter_node.raft import messages as m
from counter_node.raft.core import Persist
from counter_node.raft.types import (
    Entry,
    EntryKind,
    Member,
    MembershipChange,
    NodeId,
)

Letter = tuple[NodeId, NodeId, m.Message]
"""Sender, receiver and what is sent."""


def members(found: tuple[Member, ...]) -> str:
    return " ".join(f"{n.id}" if n.voter else f"({n.id})" for n in found)


def show(entry: Entry) -> str:
    if entry.kind is EntryKind.NOOP:
        text = "no-op"
    elif entry.kind is EntryKind.CONFIG:
        change = msgspec.msgpack.decode(entry.data, type=MembershipChange)
        text = f"{change.kind.name.lower().replace('_', '-')} n{change.id}"
    else:
        text = entry.data.decode() if len(entry.data) <= 12 else f"{len(entry.data)}B"
    return f"{entry.index}/{entry.term}:{text}"


def wrote(persist: Persist) -> list[str]:
    found = []
    if persist.hard_state is not None:
        found.append(
            f"term={persist.hard_state.term} vote={persist.hard_state.vote} "
            f"commit={persist.hard_state.commit}"
        )
    if persist.snapshot is not None:
        found.append(f"snapshot {persist.snapshot.index}")
    return found + [show(e) for e in persist.entries]


def describe(letter: Letter) -> str:
    sender, to, x = letter
    head = f"{sender}→{to} "
    if isinstance(x, m.VoteRequest):
        return (
            head
            + f"{'PreVote' if x.pre else 'Vote'} term={x.term} log={x.last_index}/{x.last_term}"
            + (" transfer" if x.transfer else "")
        )
    if isinstance(x, m.VoteResponse):
        return (
            head + f"{'PreVote' if x.pre else 'Vote'} term={x.term} "
            f"{'granted' if x.granted else 'refused'}"
        )
    if isinstance(x, m.Append):
        entries = " ".join(show(e) for e in x.entries)
        return (
            head + f"Append term={x.term} after={x.prev_index}/{x.prev_term} commit={x.commit} "
            f"[{entries}]"
        )
    if isinstance(x, m.AppendResponse):
        return (
            head
            + f"Append term={x.term} "
            + (
                f"ok up to {x.index}"
                if x.ok
                else f"nothing at {x.index}, try {x.hint_index}/{x.hint_term}"
            )
        )
    if isinstance(x, m.InstallSnapshot):
        return (
            head
            + f"Snapshot term={x.term} {x.meta.index}@{x.offset} {x.data.decode()!r}"
            + (" last" if x.last else "")
        )
    name = type(x).__name__
    fields = " ".join(
        f"{f}={getattr(x, f)}"
        for f in x.__struct_fields__
        if not (f in ("promise_ms", "disk") and not getattr(x, f))
    )  # type: ignore[union-attr]
    return head + f"{name} {fields}"
