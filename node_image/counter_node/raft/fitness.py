"""Whether the members are fit for a change of the membership."""

from __future__ import annotations

from counter_node.raft import quorum
from counter_node.raft.progress import Pace, Progress
from counter_node.raft.types import NodeId


class Busy(Exception):
    """Another change, or a transfer, is in flight; ask again."""


class NotReady(Exception):
    """The members are not fit for this change: a learner is too far behind to vote, or too few
    voters live. Ask again."""


def require_caught_up(node: NodeId, progress: Progress, last_index: int, most: int) -> None:
    """`most`: entries that a learner may be behind when it becomes a voter. Raises NotReady."""
    lag = last_index - progress.match
    if progress.pace is not Pace.REPLICATE:
        raise NotReady(
            f"learner {node:016x} has not answered yet, or installs a snapshot "
            f"({progress.pace.value}); it is {lag} entries behind"
        )
    if lag > most:
        raise NotReady(f"learner {node:016x} is {lag} entries behind; at most {most} to vote")


def require_live_majority(voters: frozenset[NodeId], lives: set[NodeId]) -> None:
    """No change after which fewer voters live than must agree: nothing would be committed any more,
    the way back included. Raises NotReady."""
    alive, needed = len(voters & lives), quorum.majority(len(voters))
    if alive < needed:
        dead = ", ".join(f"{n:016x}" for n in sorted(voters - lives))
        raise NotReady(
            f"after this change {alive} of {len(voters)} voters would live and {needed} must "
            f"agree; not heard from: {dead}. Bring it back or remove it first"
        )
