"""Changes of the cluster's configuration: one member at a time (thesis chapter 4), learners first
(4.2.1), ids never reused."""

from __future__ import annotations

from typing import Final

from counter_node.raft.types import (
    ChangeKind,
    Member,
    Membership,
    MembershipChange,
    NodeId,
    Removal,
)

MAX_NAME_BYTES: Final = 253
"""As long as a name in DNS may be."""
MAX_ADDRESS_BYTES: Final = MAX_NAME_BYTES + len(":65535")


class ChangeRefused(Exception):
    """The change can never be done as asked; the message says why."""


class IdRemoved(ChangeRefused):
    """The id was removed: it never comes back."""


def changed(now: Membership, change: MembershipChange, term: int = 0, index: int = 0) -> Membership:
    """`now` after `change`, which stands at `index` of the log in `term`. Raises ChangeRefused. A
    change that is already in force returns `now` itself."""
    if change.kind is ChangeKind.ADD_LEARNER:
        return _with_learner(now, change)
    if change.kind is ChangeKind.PROMOTE:
        return _with_voter(now, change.id)
    return _without(now, Removal(change.id, term, index))


def require_short(member: Member) -> None:
    """What every snapshot, every segment and every greeting repeats is bounded. Raises
    ChangeRefused. (Asked before a change is proposed; what is in the log is taken as it is.)"""
    for what, text, most in (
        ("name", member.name, MAX_NAME_BYTES),
        ("peer address", member.peer, MAX_ADDRESS_BYTES),
        ("address for clients", member.resp, MAX_ADDRESS_BYTES),
    ):
        if len(text.encode()) > most:
            raise ChangeRefused(
                f"{what} of node {member.id:016x} has {len(text.encode())} bytes; at most {most}"
            )


def _with_learner(now: Membership, change: MembershipChange) -> Membership:
    member = change.member
    if member is None or member.id != change.id or member.voter:
        raise ChangeRefused(
            f"adding {change.id:016x} needs a description of a learner with that id"
        )
    if change.id in now.removed:
        raise IdRemoved(
            f"node id {change.id:016x} was removed and is never reused; start the node with an "
            f"empty directory"
        )
    present = now.get(change.id)
    if present is not None:
        if (present.name, present.peer, present.resp) == (member.name, member.peer, member.resp):
            return now
        members = tuple(_moved(m, member) if m.id == change.id else m for m in now.members)
        return Membership(members, now.removed, now.removals)
    return Membership((*now.members, member), now.removed, now.removals)


def _moved(old: Member, new: Member) -> Member:
    """The same member under new addresses; its right to vote stays as it is."""
    return Member(old.id, new.name, new.peer, new.resp, old.voter)


def _with_voter(now: Membership, node: NodeId) -> Membership:
    member = now.get(node)
    if member is None:
        raise ChangeRefused(f"node {node:016x} is not a member; add it as a learner first")
    if member.voter:
        return now
    voter = Member(member.id, member.name, member.peer, member.resp, True)
    return Membership(
        tuple(voter if m.id == node else m for m in now.members), now.removed, now.removals
    )


def _without(now: Membership, removal: Removal) -> Membership:
    node = removal.node
    if now.get(node) is None:
        return now
    left = tuple(m for m in now.members if m.id != node)
    if not any(m.voter for m in left):
        raise ChangeRefused(
            f"node {node:016x} is the last voter; delete the cluster instead of removing it"
        )
    return Membership(left, (*now.removed, node), (*now.removals, removal))
