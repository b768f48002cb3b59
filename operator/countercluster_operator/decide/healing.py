"""The rules of plan.py for what was lost: disks, nodes, labels, and, when somebody asks for it by
name, the quorum."""

from __future__ import annotations

import dataclasses

from countercluster_operator import names
from countercluster_operator.decide.quorum import active_ids, has_quorum_without, quorum
from countercluster_operator.decide.steps import (
    DeletePod,
    Outcome,
    Plan,
    Recover,
    RemoveMember,
    ReplaceDisk,
    Step,
    Transfer,
    without_labels,
)
from countercluster_operator.model import Cluster
from countercluster_operator.world.handed_out import loss
from countercluster_operator.world.observed import Member, NodeStatus, Observed, Pod

ABSENT = "its pod is not there"


def recovered(cluster: Cluster, seen: Observed) -> str:
    """The survivor of spec.recovery once nothing is to be done about it any more: it leads, or a
    majority does without it."""
    wanted = cluster.spec.recovery
    if wanted is None:
        return ""
    followed = seen.leader is not None and len(active_ids(seen)) >= quorum(
        sum(m.voter for m in seen.members)
    )
    return wanted.survivor if followed or seen.recovered == wanted.survivor else ""


def recover(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """Asked for by name, and only while the quorum is lost: the survivor goes on alone, with
    everything that is in its log."""
    wanted = cluster.spec.recovery
    answering = {
        p.status.node_id: p
        for p in seen.pods
        if p.status is not None and p.status.role not in ("waiting", "removed")
    }
    if (
        wanted is None
        or base.recovered
        or seen.leader is not None
        or (seen.bootstrap is None and not answering)
    ):
        return None
    if not seen.recorded_voters and (unknown := _not_seen(seen, answering)):
        return (
            f"spec.recovery: who the members were is not recorded; waiting to see what is on "
            f"the volumes of {unknown}"
        )
    present = [i for i in seen.recorded_voters if i in answering]
    if seen.recorded_voters and len(present) >= quorum(len(seen.recorded_voters)):
        return (
            "spec.recovery is not needed: a majority of the members answers and is about to "
            "elect a leader"
        )
    survivor = answering.get(wanted.survivor)
    if survivor is None or survivor.status is None:
        return (
            f"spec.recovery.survivor is {wanted.survivor}: no member answers under that id; "
            f"{_who_answers(answering)}"
        )
    if survivor.status.role == "learner":
        return (
            f"spec.recovery.survivor is {wanted.survivor}: {survivor.name} is a learner and "
            f"never had a vote; {_who_answers(answering)}"
        )
    for node_id, pod in sorted(answering.items()):
        if pod.status is not None and pod.status.commit_index > survivor.status.last_index:
            return (
                f"spec.recovery.survivor is {survivor.name}, which lacks entries that "
                f"{pod.name} knows to be committed: name {node_id}"
            )
    return Recover(
        f"spec.recovery: {survivor.name} goes on alone; {loss(seen, survivor.status.last_index)}",
        survivor.name,
        wanted.survivor,
    )


def _not_seen(seen: Observed, answering: dict[str, Pod]) -> str:
    """Where status and memory are lost, the members are those that the best of the nodes knows.
    Each of the others must have been seen under another id, which says that its volume is gone: a
    recovery that was done long ago may still stand in the manifest, while a majority is only
    starting."""
    best = max(
        (p.status for p in answering.values() if p.status is not None),
        key=lambda s: (s.term, s.last_index),
        default=None,
    )
    if best is None or not best.members:
        return "every member"
    empty = {p.name for p in seen.pods if p.status is not None and p.status.role == "waiting"}
    voters = [m for m in best.members if m.voter]
    missing = [m.name for m in voters if m.node_id not in answering]
    if len(voters) - len(missing) >= quorum(len(voters)):
        return "nobody: a majority of the members answers and is about to elect a leader"
    return ", ".join(sorted(name for name in missing if name not in empty))


def _who_answers(answering: dict[str, Pod]) -> str:
    found = ", ".join(f"{node_id} ({pod.name})" for node_id, pod in sorted(answering.items()))
    return f"there are {found}" if found else "nobody answers"


def quorum_lost(seen: Observed) -> str:
    """Which members a majority misses, in words; empty while enough of them answer and only an
    election is due."""
    answering = {p.status.node_id for p in seen.pods if p.status is not None}
    missing = [
        (name, node_id)
        for name, node_id in seen.recorded_members
        if node_id in seen.recorded_voters and node_id not in answering
    ]
    count = len(seen.recorded_voters)
    if not count or count - len(missing) >= quorum(count):
        return ""
    return (
        f"{len(missing)} of {count} voters do not answer: "
        f"{', '.join(f'{name} ({_why_missing(seen, name)})' for name, _ in missing)}"
    )


def _why_missing(seen: Observed, name: str) -> str:
    pod = next((p for p in seen.pods if p.name == name), None)
    if pod is None:
        return ABSENT
    if pod.status is not None:
        return "its disk is empty"
    if pod.loss.why:  # of a machine that is away the API server still shows a pod that runs
        return pod.loss.why
    return pod.trouble or (
        "it is ending"
        if pod.terminating
        else "it does not run"
        if not pod.running
        else "it runs and does not answer"
    )


def heal(cluster: Cluster, seen: Observed, base: Plan) -> Outcome:
    """A member that cannot come back as who it was leaves by its old id; then the new one joins.
    What must wait here keeps nothing else from being done: it may wait for just that."""
    outcomes = (
        _stray(cluster, seen),
        _empty_disk(seen),
        _lost(cluster, seen),
        _removed_data(cluster, seen, base.replicas),
    )
    steps = (o for o in outcomes if isinstance(o, Step))
    return next(steps, None) or next((o for o in outcomes if o), None)


def _stray(cluster: Cluster, seen: Observed) -> Outcome:
    """Labels were taken off a pod: the StatefulSet does not know it any more, and cannot make
    another of its name."""
    for pod in seen.pods:
        if not pod.stray or pod.terminating or pod.name == cluster.spec.maintenance:
            continue
        own = [m for m in seen.members if m.name == pod.name]
        others = active_ids(seen) - {m.node_id for m in own}
        voters = sum(m.voter for m in seen.members)
        heirs = [m for m in seen.members if m.voter and m.active and m not in own]
        if seen.leader is not None and pod.name == seen.leader.name and heirs:
            return Transfer(
                f"{pod.name} leads and lost its labels: leadership is handed over before it is "
                f"replaced",
                pod.name,
            )
        serves = any(m.active for m in own)  # the leader hears it, whoever else does not
        if len(others) >= quorum(voters) or voters <= 2 or not serves:
            return without_labels(pod)
        return f"{pod.name} lost its labels, but the other members have no majority without it"
    return None


def _empty_disk(seen: Observed) -> Outcome:
    for member in seen.members:
        pod = next((p for p in seen.pods if p.name == member.name), None)
        if (
            pod is None
            or pod.status is None
            or pod.status.node_id == member.node_id
            or pod.terminating
        ):
            continue
        return _replace(seen, member, "lost its disk")
    return None


def _lost(cluster: Cluster, seen: Observed) -> Outcome:
    """A pod whose volume is on a machine that has been away for longer than it is given
    (machines.py). A member that the leader hears is not lost."""
    patience_s = cluster.spec.healing.replace_lost_after_seconds
    for pod in seen.pods:
        if (
            not patience_s
            or pod.loss.seconds < patience_s
            or pod.status is not None
            or pod.name == cluster.spec.maintenance
        ):
            continue
        member = next((m for m in seen.members if m.name == pod.name), None)
        if member is not None and member.active:
            continue
        if (withheld := _withheld(cluster, seen, pod)) is not None:
            return withheld
        why = f"{pod.loss.why}, for {patience_s} s"
        if member is None:
            why = f"{pod.name}: {why}: its volume is given up, it starts again elsewhere"
            return replace_disk(cluster, seen, pod, why, gives_up=pod.loss.domain)
        outcome = _replace(seen, member, f"is lost ({why})")
        return (
            dataclasses.replace(outcome, gives_up=pod.loss.domain)
            if isinstance(outcome, RemoveMember)
            else outcome
        )
    return None


def keeps_volumes(cluster: Cluster) -> bool:
    """The volume of a member that is replaced stays, under no claim."""
    return "Retain" in (cluster.spec.storage.retain, cluster.spec.storage.retain_on_scale_in)


def replace_disk(
    cluster: Cluster, seen: Observed, pod: Pod, why: str, gives_up: str = ""
) -> ReplaceDisk:
    claim = next((c for c in seen.claims if c.ordinal == pod.ordinal), None)
    return ReplaceDisk(
        why,
        pod.name,
        claim=claim,
        then=DeletePod.of(pod, why),
        keeps=keeps_volumes(cluster),
        gives_up=gives_up,
    )


def _withheld(cluster: Cluster, seen: Observed, pod: Pod) -> str | None:
    claim = next((c for c in seen.claims if c.ordinal == pod.ordinal), None)
    if claim is None or not claim.volume or seen.may_keep or not keeps_volumes(cluster):
        return None
    return (
        f"{pod.name} needs a new volume, and spec.storage retains the old one: the operator may "
        f"not change PersistentVolumes, "
        f"so it deletes nothing; keep what you need and delete claim "
        f"{names.claim(cluster.name, pod.ordinal)} (docs/operating/install.md)"
    )


def held(cluster: Cluster, seen: Observed) -> str:
    """Which members do not answer and are not given up, and why not."""
    return "; ".join(
        f"{p.name}: {p.loss.why}"
        for p in seen.pods
        if p.loss.why and not p.loss.seconds and p.status is None
    )


def _replace(seen: Observed, member: Member, why: str) -> Outcome:
    if has_quorum_without(seen, member.node_id):
        return RemoveMember(
            f"{member.name} {why}: its old id leaves, a new one joins",
            member.name,
            member.node_id,
        )
    return f"{member.name} {why}, but the other members have no majority without it"


def _removed_data(cluster: Cluster, seen: Observed, replicas: int) -> Outcome:
    ids = {m.node_id for m in seen.members}
    for pod in seen.pods:
        wanted = (
            pod.ordinal < replicas and not pod.terminating
        )  # else the pod goes, and its claim may have to stay
        if (
            wanted
            and pod.status is not None
            and pod.status.node_id not in ids
            and _is_gone(seen, pod.status)
        ):
            if (withheld := _withheld(cluster, seen, pod)) is not None:
                return withheld
            why = f"{pod.name} holds the data of a removed member; it starts again"
            return replace_disk(cluster, seen, pod, why)
    return None


def _is_gone(seen: Observed, status: NodeStatus) -> bool:
    """The node was a member once and is none now. Believed only of a leader that a majority
    follows, and that is not older than the node's term."""
    leader = seen.leader
    if status.role in ("waiting", "learner") or leader is None or leader.status is None:
        return False
    followed = len(active_ids(seen)) >= quorum(sum(m.voter for m in seen.members))
    return status.role == "removed" or (followed and status.term <= leader.status.term)
