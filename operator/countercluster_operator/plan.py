"""What to do next for one CounterCluster. Pure: what was observed and what is wanted go in, at most one step with its reason in English comes out.

Rules, each tested with random states:
1. One step at a time, and only one that leaves a majority of the voters active.
2. A cluster is formed once, ever. Which node forms it is recorded in the status before it is told to.
3. Joining: pod → learner → caught up → voter. Leaving: leadership handed away → member removed by id → pod → claim.
4. A member whose disk is gone (its pod has another id) is removed by its old id, then the new one joins.
5. Rolling: what does not run first, then unready, then followers from the highest ordinal down, the leader last and after a transfer; the next
   only when every
   member is a voter, ready and caught up. An updated pod that does not become ready stops the roll.
6. The number of members worked towards is recorded; an edit waits until the member in flight has arrived.
7. Nothing is done without a leader, but to replace pods that do not run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from countercluster_operator import names
from countercluster_operator.model import MAX_REPLICAS, Cluster
from countercluster_operator.observed import Member, NodeStatus, Observed, Pod
from countercluster_operator.resources.claims import is_small
from countercluster_operator.resources.disruption import quorum
from countercluster_operator.resources.quantity import in_bytes

MAX_LAG = 200
"""Entries that a voter may be behind and still count as caught up; under load it is never quite at the end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `reason` reaches the event and the status."""

    kind: str
    reason: str
    pod: str = ""
    node_id: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`replicas`: pods that the StatefulSet should have now. `waiting`: why there is no step although the work is not done."""

    replicas: int
    target: int
    voters: int
    step: Step | None = None
    waiting: str = ""
    excess_claims: tuple[int, ...] = ()
    refused: str = ""  # children that the API server does not take, and why; filled in after they were applied

    @property
    def settled(self) -> bool:
        return self.step is None and not self.waiting and not self.refused


def plan(cluster: Cluster, seen: Observed) -> Plan:
    target = _target(cluster, seen)
    replicas = _replicas(cluster, seen, target)
    voters = max(target, sum(m.voter for m in seen.members))
    claims = tuple(c.ordinal for c in seen.claims if c.ordinal >= replicas and seen.pod(c.ordinal) is None) if seen.members else ()
    base = Plan(replicas, target, voters, excess_claims=claims)
    for rule in (_replace_dead, _form, _without_leader, _heal, _arrive, _leave, _join, _roll, _grow):
        outcome = rule(cluster, seen, base)
        if isinstance(outcome, Step):
            return dataclasses.replace(base, step=outcome)
        if outcome:
            return dataclasses.replace(base, waiting=outcome)
    return base


def _target(cluster: Cluster, seen: Observed) -> int:
    """Rule 6."""
    wanted = cluster.spec.replicas
    if seen.target is None or seen.target == wanted:
        return wanted
    in_flight = [m for m in seen.members if not m.voter]
    arriving = [m for m in in_flight if (_ordinal(cluster, m) or 0) < wanted]
    return seen.target if arriving else wanted


def _replicas(cluster: Cluster, seen: Observed, target: int) -> int:
    """A pod goes only after its member is gone: every member keeps its pod. Without a leader those members count which the status recorded, and
    before the cluster is known every volume, as it may hold a member of a cluster that was here before."""
    members = [m.name for m in seen.members] or list(seen.recorded)
    ordinals = [o for name in members if (o := names.ordinal(cluster.name, name)) is not None]
    kept = 0 if seen.members else seen.set_replicas or 0
    volumes = [] if seen.members or seen.bootstrap else [c.ordinal for c in seen.claims if c.bound and c.ordinal < MAX_REPLICAS]
    return max([target, kept, *(o + 1 for o in (*ordinals, *volumes))])


def _ordinal(cluster: Cluster, member: Member) -> int | None:
    return names.ordinal(cluster.name, member.name)


def _active(seen: Observed) -> set[str]:
    """Ids of voters that take part now: the leader hears them, and their pod is ready under that id."""
    ready = {p.status.node_id for p in seen.pods if p.status is not None and p.ready and not p.terminating}
    leader = seen.leader
    leading = leader.status.node_id if leader is not None and leader.status is not None else ""
    return {m.node_id for m in seen.members if m.voter and (m.node_id in ready or m.node_id == leading) and (m.active or m.node_id == leading)}


def _has_quorum_without(seen: Observed, node_id: str) -> bool:
    """The others can commit the removal of `node_id`, and go on after it."""
    voters = [m for m in seen.members if m.voter]
    others = _active(seen) - {node_id}
    left = [m for m in voters if m.node_id != node_id]
    return len(others) >= quorum(len(left)) and len(_active(seen)) >= quorum(len(voters))


# --- the rules, in their order; each gives a step, a reason to wait, or nothing ---------------------------------------------


def _form(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """Rule 2."""
    if seen.members:
        if seen.bootstrap is None:
            leader = seen.leader
            assert leader is not None
            assert leader.status is not None
            return Step("RecordBootstrap", "the volumes hold a cluster already; it is taken over", leader.name, leader.status.node_id)
        return None
    if seen.bootstrap is not None:
        pod, node_id = seen.bootstrap
        chosen = next((p for p in seen.pods if p.name == pod), None)
        if chosen is not None and chosen.status is not None and chosen.status.node_id == node_id and chosen.status.role == "waiting":
            return Step("Bootstrap", f"{pod} forms the cluster", pod, node_id)
        return None
    pods = [seen.pod(o) for o in range(base.replicas)]
    silent = [names.pod(cluster.name, o) for o, p in enumerate(pods) if p is None or p.status is None]
    if silent:
        return f"waiting for {', '.join(silent)} to start; then the cluster is formed"
    first = pods[0]
    assert first is not None
    assert first.status is not None
    if all(p is not None and p.status is not None and p.status.role == "waiting" for p in pods):
        return Step("RecordBootstrap", f"all pods are empty; {first.name} will form the cluster", first.name, first.status.node_id)
    return "some volumes hold members of a cluster: waiting for them to elect a leader"


def _replace_dead(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """What does not run and is made from an old template is in nobody's way: a mended image reaches it before anything else is looked at."""
    for pod in _outdated(seen):
        if not pod.running and not pod.terminating:
            return Step("DeletePod", f"{pod.name} does not run ({pod.trouble or 'not started'}) and its template is outdated", pod.name)
    return None


def _without_leader(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """Rule 7."""
    return None if seen.leader is not None else "no leader: a majority of the members is not reachable"


def _heal(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """Rule 4."""
    ids = {m.node_id for m in seen.members}
    for member in seen.members:
        pod = next((p for p in seen.pods if p.name == member.name), None)
        if pod is None or pod.status is None or pod.status.node_id == member.node_id or pod.terminating:
            continue
        if _has_quorum_without(seen, member.node_id):
            return Step("RemoveMember", f"{member.name} lost its disk: its old id leaves, the new one joins", member.name, member.node_id)
        return f"{member.name} lost its disk, but the other members have no majority without it"
    for pod in seen.pods:
        if pod.status is not None and not pod.terminating and pod.status.node_id not in ids and _is_gone(seen, pod.status):
            return Step("ReplaceDisk", f"{pod.name} holds the data of a removed member; it starts anew", pod.name)
    return None


def _is_gone(seen: Observed, status: NodeStatus) -> bool:
    """The node was a member once and is none now. Believed only of a leader that a majority follows, and that is not older than the node's term."""
    leader = seen.leader
    if status.role in ("waiting", "learner") or leader is None or leader.status is None:
        return False
    followed = len(_active(seen)) >= quorum(sum(m.voter for m in seen.members))
    return status.role == "removed" or (followed and status.term <= leader.status.term)


def _arrive(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """Rule 3: the learner becomes a voter."""
    for member in seen.members:
        ordinal = _ordinal(cluster, member)
        if member.voter or ordinal is None or ordinal >= base.target:
            continue
        pod = seen.pod(ordinal)
        if pod is None or pod.status is None:
            return f"waiting for learner {member.name} to come back"
        return Step("Promote", f"{member.name} becomes a voter as soon as it has caught up", member.name, member.node_id)
    return None


def _leave(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """Rule 3, backwards: the highest ordinal first."""
    leaving = [(o, m) for m in seen.members if (o := _ordinal(cluster, m)) is not None and o >= base.target]
    if not leaving:
        return None
    active = _active(seen)
    _, member = max(leaving, key=lambda pair: (pair[1].node_id not in active, pair[0]))  # the dead first: that costs nobody's vote
    leader = seen.leader
    if leader is not None and leader.status is not None and leader.status.node_id == member.node_id:
        if len(active) < 2:
            return None  # nobody could take over: the members that are to stay join first
        return Step("Transfer", f"{member.name} leads and is to leave", member.name, member.node_id)
    if not _has_quorum_without(seen, member.node_id):
        return f"{member.name} is to leave, but the other members have no majority without it"
    return Step("RemoveMember", f"scaling to {base.target}: {member.name} leaves", member.name, member.node_id)


def _join(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """Rule 3: the lowest ordinal first."""
    ids = {m.node_id for m in seen.members}
    missing = ""
    for ordinal in range(base.target):
        pod = seen.pod(ordinal)
        name = names.pod(cluster.name, ordinal)
        if pod is None or pod.status is None or pod.terminating:
            trouble = f" ({pod.trouble})" if pod is not None and pod.trouble else ""
            missing = missing or ("" if any(m.name == name for m in seen.members) else f"waiting for {name} to start{trouble}")
        elif pod.status.node_id not in ids:
            return Step("AddLearner", f"{name} joins as a learner", name, pod.status.node_id)
    return missing or None


def _outdated(seen: Observed) -> Iterator[Pod]:
    if seen.set_current and seen.revision:
        yield from (p for p in seen.pods if p.revision != seen.revision)


def _roll(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """Rule 5."""
    going = [p.name for p in seen.pods if p.terminating]
    outdated = list(_outdated(seen))
    broken = [p for p in seen.pods if not p.ready and not p.terminating]
    if going:
        return f"waiting for {', '.join(going)} to end"
    for what, test in _BROKEN:
        for pod in outdated:
            if not pod.ready and test(pod) and _can_spare(seen, pod):
                return Step("DeletePod", f"restarting {pod.name}: its template is outdated and it {what}", pod.name)
    if broken:
        return "; ".join(f"waiting for {p.name}: {_why_not_ready(p)}" for p in broken)
    if len(seen.pods) < base.replicas:
        return f"waiting for {base.replicas - len(seen.pods)} more pods"
    if not outdated:
        return None
    behind = _behind(seen)
    if behind:
        return f"rolling: waiting for {behind} to catch up"
    return _next_to_roll(seen, outdated)


def _why_not_ready(pod: Pod) -> str:
    said = pod.status.reason if pod.status is not None else "not running"
    return pod.trouble or said or "its probe has not seen yet that it is ready"


def _can_spare(seen: Observed, pod: Pod) -> bool:
    """A pod that runs but is not ready may be about to be: it goes only if it does not lead and the others keep the majority."""
    if seen.leader is not None and pod.name == seen.leader.name:
        return False
    others = _active(seen) - ({pod.status.node_id} if pod.status is not None else set())
    return len(others) >= quorum(sum(m.voter for m in seen.members))


_BROKEN: list[tuple[str, Callable[[Pod], bool]]] = [
    ("is starting", lambda p: p.status is None),
    ("is not ready", lambda p: True),
]


def _behind(seen: Observed) -> str:
    leader = seen.leader
    if leader is None or leader.status is None:
        return "a leader"
    active = _active(seen)
    late = [m.name for m in seen.members if not m.voter or m.node_id not in active or leader.status.last_index - m.match_index > MAX_LAG]
    return ", ".join(late)


def _next_to_roll(seen: Observed, outdated: list[Pod]) -> Step:
    leader = seen.leader
    followers = [p for p in outdated if leader is None or p.name != leader.name]
    if followers:
        pod = max(followers, key=lambda p: p.ordinal)
        return Step("DeletePod", f"restarting follower {pod.name}: its template is outdated", pod.name)
    last = outdated[0]
    if len([m for m in seen.members if m.voter]) > 1:
        return Step("Transfer", f"{last.name} leads and is the last to restart: leadership is handed over first", last.name)
    return Step("DeletePod", f"restarting {last.name}: its template is outdated", last.name)


def _grow(cluster: Cluster, seen: Observed, base: Plan) -> Step | str | None:
    """claims.py enlarges the claims; then the StatefulSet follows."""
    if seen.set_replicas is None:
        return "waiting for the StatefulSet to be made"
    size = cluster.spec.storage.size
    small = [names.claim(cluster.name, c.ordinal) for c in seen.claims if is_small(cluster, c)]
    if small:
        return f"enlarging {', '.join(small)} to {size}"
    if seen.template_size and in_bytes(seen.template_size) != in_bytes(size):
        return Step("RenewStatefulSet", f"the StatefulSet is made anew around its pods, for new claims of {size}")
    return None
