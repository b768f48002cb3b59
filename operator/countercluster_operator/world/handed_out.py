"""After a recovery: values that were handed out once can be handed out again. Pure, but for a
memory of what was seen.

The survivor of spec.recovery goes on from its own log. What the lost members acknowledged after its
last entry never happened for it, so a sequence gives the same numbers a second time. Nobody can
tell how many: the lost ones may have gone on after the last look. So:

1. `ValuesMayRepeat` is true from the recovery on, until somebody acknowledges that very history by
   the annotation. The history is in the members' replicated state (counter_node,
   counters/history.py), so neither a new operator nor a restore of the CounterCluster forgets it.
2. The step tells where the survivor's log ends, and how far any member was seen to be.
"""

from __future__ import annotations

import dataclasses

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.world.observed import History, Observed

TYPE = "ValuesMayRepeat"
Key = tuple[str, str]


class Heights:
    """The highest index that any member of each cluster was seen at, since this operator began."""

    def __init__(self) -> None:
        self._seen: dict[Key, int] = {}

    def noted(self, key: Key, seen: Observed) -> Observed:
        found = [p.status.last_index for p in seen.pods if p.status is not None]
        highest = max([self._seen.get(key, 0), *found])
        if found:
            self._seen[key] = highest
        return dataclasses.replace(seen, highest_index=highest)

    def forget(self, key: Key) -> None:
        self._seen.pop(key, None)


def loss(seen: Observed, last_index: int) -> str:
    """What is known of what is given up when a survivor goes on from `last_index`."""
    more = seen.highest_index - last_index
    found = (
        f"a member was seen {more} entries further, at {seen.highest_index}"
        if more > 0
        else "no member was seen further"
    )
    return (
        f"its log ends at entry {last_index}; {found}; each entry may hold many commands, and "
        f"the others may have gone on unseen"
    )


def history(seen: Observed) -> History | None:
    """The leader's word; without one that of a member that was recovered, or has the longest
    log."""
    said = [seen.leader.status] if seen.leader is not None else [p.status for p in seen.pods]
    known = [
        (s.history.reason == "recover", s.last_index, s.history)
        for s in said
        if s is not None and s.history is not None
    ]
    return max(known, key=lambda k: k[:2])[2] if known else None


def condition(cluster: Cluster, seen: Observed) -> tuple[str, bool | None, str, str]:
    now = history(seen)
    if now is None:
        return (TYPE, None, "NotSeen", "no member tells its history")
    if now.reason != "recover":
        return (TYPE, False, "NothingGivenUp", "")
    if cluster.acknowledged_history == now.id:
        return (
            TYPE,
            False,
            "Acknowledged",
            f"history {now.id} began at entry {now.index}, as a survivor went on alone",
        )
    return (
        TYPE,
        True,
        "Recovered",
        f"a survivor went on alone at entry {now.index}: what the lost members acknowledged "
        f"after that is gone, and its values can be handed out "
        f"again (docs/operating/recover.md). Once that is dealt with: kubectl annotate cc "
        f"{cluster.name} {names.ACKNOWLEDGED_HISTORY}={now.id}",
    )
