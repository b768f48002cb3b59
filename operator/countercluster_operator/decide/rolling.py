"""The rules of plan.py by which pods get a newer template: one at a time, what is broken first, the
leader last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from countercluster_operator import names
from countercluster_operator.decide.quorum import active_ids, quorum
from countercluster_operator.decide.steps import DeletePod, Outcome, Plan, Transfer, without_labels
from countercluster_operator.model import Cluster
from countercluster_operator.world.observed import Observed, Pod

MAX_LAG = 200
"""Entries that a voter may be behind and still count as caught up; under load it is never quite at
the end."""


def outdated(seen: Observed) -> Iterator[Pod]:
    if seen.set_current and seen.revision:
        yield from (p for p in seen.pods if p.revision != seen.revision and not p.stray)


def under_way(seen: Observed) -> bool:
    """Some pods have the newest template and some do not."""
    return 0 < len(list(outdated(seen))) < len(seen.pods)


def stalled(seen: Observed) -> str:
    """The first pod of a roll that does not start, and why: the roll goes no further."""
    if under_way(seen):
        for pod in seen.pods:
            if pod.revision == seen.revision and not pod.running and pod.trouble:
                return (
                    f"the roll stopped at {pod.name}, which does not start: {pod.trouble}; "
                    f"the other members go on as they are"
                )
    return ""


def replace_dead(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """What does not run and is made from an old template is in nobody's way: a mended image reaches
    it before anything else is considered."""
    for pod in seen.pods:
        if (
            pod.stray
            and not pod.terminating
            and (not pod.running or (seen.leader is None and _certainly_idle(seen, pod)))
            and pod.name != cluster.spec.maintenance
        ):
            return without_labels(pod)
    for pod in outdated(seen):
        if not pod.running and not pod.terminating and pod.name != cluster.spec.maintenance:
            return DeletePod.of(
                pod,
                f"{pod.name} does not run ({pod.trouble or 'not started'}) and its template is "
                f"outdated",
            )
    return None


def _certainly_idle(seen: Observed, pod: Pod) -> bool:
    """It does not lead, though it runs: nobody follows one that is not heard from, and it says so
    itself, or is not ready."""
    return not seen.not_reached and (pod.status is not None or not pod.ready)


def roll(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """The next pod only when every member is a voter, ready and caught up. A pod beyond the size,
    which somebody else made the StatefulSet make, holds up no roll."""
    going = [p.name for p in seen.pods if p.terminating]
    old = [p for p in outdated(seen) if p.name != cluster.spec.maintenance]
    broken = [p for p in seen.pods if not p.ready and not p.terminating]
    if going:
        return f"waiting for {', '.join(going)} to end"
    for what, test in _BROKEN:
        for pod in old:
            if not pod.ready and test(pod) and _can_spare(seen, pod):
                return DeletePod.of(
                    pod, f"restarting {pod.name}: its template is outdated and it {what}"
                )
    if broken and any(p.ordinal < base.replicas or not old for p in broken):
        return stalled(seen) or "; ".join(
            f"waiting for {p.name}: {_why_not_ready(p)}" for p in broken
        )
    if len(seen.pods) < base.replicas:
        return f"waiting for {base.replicas - len(seen.pods)} more pods"
    if not old:
        left = [p.name for p in outdated(seen)]
        return (
            f"{', '.join(left)} is in maintenance; it gets its newer template afterwards"
            if left
            else None
        )
    behind = _behind(seen)
    if behind:
        return f"rolling: waiting for {behind} to catch up"
    return _next_to_roll(cluster, seen, old)


def _why_not_ready(pod: Pod) -> str:
    said = pod.status.reason if pod.status is not None else "not running"
    return pod.trouble or said or "its probe has not seen yet that it is ready"


def _can_spare(seen: Observed, pod: Pod) -> bool:
    """A pod that runs but is not ready may be about to be: it goes only if it does not lead and the
    others keep the majority."""
    if seen.leader is not None and pod.name == seen.leader.name:
        return False
    others = active_ids(seen) - ({pod.status.node_id} if pod.status is not None else set())
    return len(others) >= quorum(sum(m.voter for m in seen.members))


_BROKEN: list[tuple[str, Callable[[Pod], bool]]] = [
    ("is starting", lambda p: p.status is None),
    ("is not ready", lambda p: True),
]


def _behind(seen: Observed) -> str:
    leader = seen.leader
    if leader is None or leader.status is None:
        return "a leader"
    active = active_ids(seen)
    late = [
        m.name
        for m in seen.members
        if not m.voter
        or m.node_id not in active
        or leader.status.last_index - m.match_index > MAX_LAG
    ]
    return ", ".join(late)


def _next_to_roll(cluster: Cluster, seen: Observed, old: list[Pod]) -> Outcome:
    leader = seen.leader
    followers = [p for p in old if leader is None or p.name != leader.name]
    if followers:
        pod = max(followers, key=lambda p: p.ordinal)
        return DeletePod.of(
            pod, f"restarting follower {pod.name}: its template is outdated", rolls=True
        )
    last = old[0]
    if cluster.spec.rollout.strategy == "Supervised" and cluster.roll_leader != seen.revision:
        word = f"kubectl annotate cc {cluster.name} {names.ROLL_LEADER}={seen.revision} --overwrite"
        return f"only the leader {last.name} is left to restart; to go on: {word}"
    if len([m for m in seen.members if m.voter]) > 1:
        return Transfer(
            f"{last.name} leads and is the last to restart: leadership is handed over first",
            last.name,
            rolls=True,
        )
    return DeletePod.of(last, f"restarting {last.name}: its template is outdated", rolls=True)
