"""What to do next for one CounterCluster. Pure: what was observed and what is wanted go in, at most
one step with its reason in English comes out.

Rules, each tested with random states:
1. One step at a time, and only one that leaves a majority of the voters active.
2. A cluster is formed once, ever. Which node forms it is recorded in the status before it is asked
   to.
3. Joining: pod → learner → caught up → voter. Leaving: leadership handed away → member removed by
   id → pod → claim.
4. A member whose disk is gone (its pod has another id), or is on a machine that has been away for
   long (machines.py), is removed by its old id, then the new one joins.
5. Rolling: what does not run first, then unready, then followers from the highest ordinal down, the
   leader last and after a transfer, when supervised only after a word; the next only when every
   member is a voter, ready and caught up. An updated pod that does not become ready stops the roll.
6. The number of members worked towards is recorded; an edit waits until the member in flight has
   arrived.
7. Nothing is done without a leader, but to replace pods that do not run, and to make the one
   survivor that spec.recovery names go on alone.
8. Hibernated: no pods, all claims. Who is in maintenance does not lead, is not restarted and not
   replaced.
9. A StatefulSet whose controller has not made a pod, and rests, is touched: the controller looks at
   it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from countercluster_operator import names
from countercluster_operator.decide.healing import (
    heal,
    held,
    quorum_lost,
    recover,
    recovered,
    replace_disk,
)
from countercluster_operator.decide.quorum import active_ids, has_quorum_without
from countercluster_operator.decide.rolling import replace_dead, roll, stalled, under_way
from countercluster_operator.decide.steps import (
    AddLearner,
    Bootstrap,
    DeletePod,
    Outcome,
    Plan,
    Promote,
    RecordBootstrap,
    RemoveMember,
    RenewStatefulSet,
    ReplaceDisk,
    Step,
    TouchStatefulSet,
    Transfer,
)
from countercluster_operator.decide.volumes import is_growing, is_small
from countercluster_operator.model import MAX_REPLICAS, Cluster
from countercluster_operator.quantity import in_bytes
from countercluster_operator.world.observed import Member, NodeStatus, Observed, Pod

IDLE_S = 10.0
"""A StatefulSet that nobody has written for so long rests."""


def plan(cluster: Cluster, seen: Observed) -> Plan:
    target = _target(cluster, seen)
    replicas = _replicas(cluster, seen, target)
    voters = max(target, sum(m.voter for m in seen.members))
    base = Plan(
        replicas,
        target,
        voters,
        recovered=recovered(cluster, seen),
        rolling=under_way(seen),
        warning=_warning(cluster, seen),
    )
    if cluster.spec.hibernated:
        return dataclasses.replace(
            base,
            replicas=0,
            waiting=f"hibernating: {len(seen.pods)} pods are ending" if seen.pods else "",
        )
    if seen.members and cluster.spec.storage.retain_on_scale_in == "Delete":
        claims = tuple(
            c for c in seen.claims if c.ordinal >= replicas and seen.pod(c.ordinal) is None
        )
        base = dataclasses.replace(base, excess_claims=claims)
    for rule in RULES:
        outcome = rule(cluster, seen, base)
        if isinstance(outcome, Step):
            return dataclasses.replace(base, step=_of_term(outcome, seen))
        if outcome:
            return dataclasses.replace(base, waiting=outcome)
    return base


def _of_term(step: Step, seen: Observed) -> Step:
    """What goes through the API server is judged by no leader, so it holds for its term alone. What
    a leader is asked to do, that leader judges again."""
    leader = seen.leader
    if leader is None or leader.status is None or not isinstance(step, DeletePod | ReplaceDisk):
        return step
    return dataclasses.replace(step, term=leader.status.term)


def _target(cluster: Cluster, seen: Observed) -> int:
    """Rule 6."""
    wanted = cluster.spec.replicas
    if seen.target is None or seen.target == wanted:
        return wanted
    in_flight = [m for m in seen.members if not m.voter]
    stays = min(wanted, seen.target)
    arriving = [m for m in in_flight if (_ordinal(cluster, m) or 0) < stays]
    return seen.target if arriving else wanted


def _replicas(cluster: Cluster, seen: Observed, target: int) -> int:
    """A pod goes only after its member is gone: every member keeps its pod. Without a leader those
    members count which the status recorded, and before the cluster is known every volume, as it may
    hold a member of a cluster that was here before."""
    members = [m.name for m in seen.members] or list(seen.recorded)
    ordinals = [o for name in members if (o := names.ordinal(cluster.name, name)) is not None]
    kept = 0 if seen.members else seen.set_replicas or 0
    volumes = (
        []
        if seen.members or seen.bootstrap
        else [c.ordinal for c in seen.claims if c.bound and c.ordinal < MAX_REPLICAS]
    )
    return max([target, kept, *(o + 1 for o in (*ordinals, *volumes))])


def _ordinal(cluster: Cluster, member: Member) -> int | None:
    return names.ordinal(cluster.name, member.name)


# --- the rules; each gives a step, a reason to wait, or nothing -----------------------------------


def _touch(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Rule 9. The end of a pod of an earlier StatefulSet of the same name is no news to the
    controller of the new one; it only tries again, after a pause that doubles with every look in
    vain, up to 1,000 s (Kubernetes 1.37, stateful_set.go)."""
    missing = [
        names.pod(cluster.name, o)
        for o in range(min(seen.set_replicas or 0, base.replicas))
        if seen.pod(o) is None
    ]
    if not missing or seen.set_idle_s < IDLE_S:
        return None
    return TouchStatefulSet(
        f"{', '.join(missing)} not made for {IDLE_S:.0f} s: its StatefulSet is touched, to be "
        f"checked again",
    )


def _form(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Rule 2."""
    if seen.members:
        if seen.bootstrap is None:
            leader = seen.leader
            assert leader is not None
            assert leader.status is not None
            return RecordBootstrap(
                "the volumes hold a cluster already; it is taken over",
                leader.name,
                leader.status.node_id,
            )
        return None
    if seen.bootstrap is not None:
        pod, node_id = seen.bootstrap
        chosen = next((p for p in seen.pods if p.name == pod), None)
        if (
            chosen is not None
            and chosen.status is not None
            and chosen.status.node_id == node_id
            and chosen.status.role == "waiting"
        ):
            return Bootstrap(f"{pod} forms the cluster", pod, node_id)
        return None
    if cluster.spec.recovery is not None and any(
        p.status is not None and p.status.role not in ("waiting", "removed") for p in seen.pods
    ):
        return None  # of a cluster that was here before, a minority may be all that is left
    pods = [seen.pod(o) for o in range(base.replicas)]
    silent = [
        names.pod(cluster.name, o) for o, p in enumerate(pods) if p is None or p.status is None
    ]
    if silent:
        return f"waiting for {', '.join(silent)} to start; then the cluster is formed"
    first = pods[0]
    assert first is not None
    assert first.status is not None
    if all(p is not None and p.status is not None and p.status.role == "waiting" for p in pods):
        return RecordBootstrap(
            f"all pods are empty; {first.name} will form the cluster",
            first.name,
            first.status.node_id,
        )
    return "some volumes hold members of a cluster: waiting for them to elect a leader"


def _without_leader(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Rule 7."""
    if seen.leader is not None:
        return None
    if seen.not_reached:
        return seen.not_reached
    return f"no leader: {quorum_lost(seen) or 'the members that are there are about to elect one'}"


def _warning(cluster: Cluster, seen: Observed) -> tuple[str, str] | None:
    if cluster.spec.hibernated:
        return None
    if seen.leader is None and not seen.not_reached and (lost := quorum_lost(seen)):
        return (
            "QuorumLost",
            f"{lost}; nothing is acknowledged until a majority is back (docs/operating/recover.md)",
        )
    if stopped := stalled(seen):
        return ("RollStalled", stopped)
    return ("HealingHeld", text) if (text := held(cluster, seen)) else None


def _maintain(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Rule 8: whoever is worked upon does not lead, wherever somebody else can."""
    leader = seen.leader
    if leader is None or leader.name != cluster.spec.maintenance or len(active_ids(seen)) < 2:
        return None
    return Transfer(f"{leader.name} is in maintenance: leadership is handed over", leader.name)


def _arrive(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Rule 3: the learner becomes a voter."""
    for member in seen.members:
        ordinal = _ordinal(cluster, member)
        if member.voter or ordinal is None or ordinal >= base.target:
            continue
        pod = seen.pod(ordinal)
        if pod is None or pod.status is None:
            return f"waiting for learner {member.name} to come back"
        return Promote(
            f"{member.name} becomes a voter as soon as it has caught up",
            member.name,
            member.node_id,
        )
    return None


def _leave(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Rule 3, backwards: the highest ordinal first."""
    leaving = [
        (o, m) for m in seen.members if (o := _ordinal(cluster, m)) is not None and o >= base.target
    ]
    if not leaving:
        return None
    active = active_ids(seen)
    _, member = max(
        leaving, key=lambda pair: (pair[1].node_id not in active, pair[0])
    )  # the dead first: that costs nobody's vote
    leader = seen.leader
    if leader is not None and leader.status is not None and leader.status.node_id == member.node_id:
        if len(active) < 2:
            return None  # nobody could take over: the members that are to stay join first
        return Transfer(f"{member.name} leads and is to leave", member.name, member.node_id)
    if not has_quorum_without(seen, member.node_id):
        return f"{member.name} is to leave, but the other members have no majority without it"
    return RemoveMember(
        f"scaling to {base.target}: {member.name} leaves",
        member.name,
        member.node_id,
    )


def _join(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Rule 3: the lowest ordinal first."""
    ids = {m.node_id for m in seen.members}
    missing = ""
    for ordinal in range(base.target):
        pod = seen.pod(ordinal)
        name = names.pod(cluster.name, ordinal)
        if pod is None or pod.status is None or pod.terminating:
            trouble = f" ({pod.trouble})" if pod is not None and pod.trouble else ""
            missing = missing or (
                ""
                if any(m.name == name for m in seen.members)
                else f"waiting for {name} to start{trouble}"
            )
        elif pod.status.node_id not in ids:
            return _add(cluster, seen, pod, pod.status)
    return missing or None


def _add(cluster: Cluster, seen: Observed, pod: Pod, said: NodeStatus) -> AddLearner:
    why = f"{pod.name} holds the id of a removed member; it starts again"
    holds_nothing = said.role in ("waiting", "learner")
    otherwise = replace_disk(cluster, seen, pod, why) if holds_nothing else None
    return AddLearner(f"{pod.name} joins as a learner", pod.name, said.node_id, otherwise=otherwise)


def _grow(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """claims.py enlarges the claims; then the StatefulSet follows."""
    if seen.set_replicas is None:
        return "waiting for the StatefulSet to be made"
    size = cluster.spec.storage.size
    small = [names.claim(cluster.name, c.ordinal) for c in seen.claims if is_small(cluster, c)]
    if small:
        return f"enlarging {', '.join(small)} to {size}"
    if seen.template_size and in_bytes(seen.template_size) != in_bytes(size):
        return RenewStatefulSet(
            f"the StatefulSet is made again around its pods, for new claims of {size}",
            uid=seen.set_uid,
        )
    growing = [
        f"{names.claim(cluster.name, c.ordinal)} ({c.capacity} of {c.size})"
        for c in seen.claims
        if is_growing(cluster, c)
    ]
    if growing:
        return f"waiting for the volumes of {', '.join(growing)} to grow"
    return None


RULES: tuple[Callable[[Cluster, Observed, Plan], Outcome], ...] = (
    _touch,
    replace_dead,
    _form,
    recover,
    _without_leader,
    heal,
    _maintain,
    _arrive,
    _leave,
    _join,
    roll,
    _grow,
)
"""Their order is policy: the first that answers decides. What needs no leader comes first, then
what was lost, members before templates, and volumes last."""
