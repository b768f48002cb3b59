"""The arithmetic of majorities that all rules share. Pure.

A member takes part when the leader hears it and its pod is ready under its id. Nothing healthy is
restarted or removed when less than a majority would take part without it."""

from __future__ import annotations

from countercluster_operator.world.observed import Observed


def quorum(voters: int) -> int:
    """The smallest majority."""
    return voters // 2 + 1


def active_ids(seen: Observed) -> set[str]:
    """Ids of voters that take part now: the leader hears them, and their pod is ready under that
    id."""
    ready = {
        p.status.node_id
        for p in seen.pods
        if p.status is not None and p.ready and not p.terminating
    }
    leader = seen.leader
    leading = leader.status.node_id if leader is not None and leader.status is not None else ""
    return {
        m.node_id
        for m in seen.members
        if m.voter
        and (m.node_id in ready or m.node_id == leading)
        and (m.active or m.node_id == leading)
    }


def has_quorum_without(seen: Observed, node_id: str) -> bool:
    """The others can commit the removal of `node_id`, and go on after it."""
    voters = [m for m in seen.members if m.voter]
    others = active_ids(seen) - {node_id}
    left = [m for m in voters if m.node_id != node_id]
    return len(others) >= quorum(len(left)) and len(active_ids(seen)) >= quorum(len(voters))
