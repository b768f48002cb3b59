"""The status: conditions by the API conventions, and the facts a user asks for. Pure; the same
observation gives the same status, so nothing is written at rest.

A condition's lastTransitionTime moves only when its status does. Every known condition is always
there. `Ready` is the summary. Right after children were written, and until the StatefulSet's
controller has seen its newest spec, nobody can know whether anything is left to do: a Ready that
was true stays as it was then, with the generation that it was judged for, so that a child that is
applied again makes nobody wait."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from countercluster_operator import names
from countercluster_operator.credentials.secured import PLAIN, Secured
from countercluster_operator.decide.decision import Decision
from countercluster_operator.decide.quorum import quorum
from countercluster_operator.decide.rolling import outdated, under_way
from countercluster_operator.decide.steps import RecordBootstrap, Step
from countercluster_operator.model import Cluster
from countercluster_operator.world import clocks, handed_out
from countercluster_operator.world.observed import Observed

Condition = tuple[str, bool | None, str, str]  # type, status, reason, message
UNDECIDED = "Applied"
"""Reason of a Ready that is not true because nobody knows yet what the change of a child means."""


def status(
    cluster: Cluster,
    seen: Observed,
    todo: Decision,
    old: dict[str, Any],
    now: str,
    secured: Secured = PLAIN,
) -> dict[str, Any]:
    """The whole status. `now`: RFC 3339, used only where something changed."""
    leader = seen.leader
    doing = todo.step.reason if todo.step is not None else todo.waiting
    return {
        **_judged(cluster, seen, todo, old, now),
        "target": todo.plan.target,
        "image": cluster.image,
        "cacheImage": cluster.cache_image,
        "chosen": {"image": cluster.chosen_image, "cacheImage": cluster.chosen_cache_image},
        "members": _members(seen) or old.get("members", []),
        "leader": leader.name if leader is not None else "",
        "selector": ",".join(
            f"{k}={v}" for k, v in names.selector(cluster.name, names.NODE).items()
        ),
        "replicas": len([p for p in seen.pods if not p.terminating]),
        "readyReplicas": len([p for p in seen.pods if p.ready and not p.terminating]),
        "step": doing or todo.applied or todo.refused,
        **_remembered(seen, todo, old),
        **_of_secrets(cluster, secured),
    }


def _judged(
    cluster: Cluster, seen: Observed, todo: Decision, old: dict[str, Any], now: str
) -> dict[str, Any]:
    """Conditions, and the generation that they are about."""
    before = old.get("conditions") or []
    conditions = merged(_conditions(cluster, seen, todo), before, cluster.generation, now)
    kept = next((c for c in before if c["type"] == "Ready" and c["status"] == "True"), None)
    if kept is not None and conditions[0]["reason"] == UNDECIDED:
        generation = old.get("observedGeneration", 0)
        return {"observedGeneration": generation, "conditions": [kept, *conditions[1:]]}
    return {"observedGeneration": cluster.generation, "conditions": conditions}


def _members(seen: Observed) -> list[dict[str, Any]]:
    by_name, leader = {p.name: p for p in seen.pods}, seen.leader
    leading = leader.status.node_id if leader is not None and leader.status is not None else ""
    return [
        {
            "nodeId": m.node_id,
            "name": m.name,
            "role": _role(m.node_id, m.voter, leading),
            "ready": m.name in by_name and by_name[m.name].ready,
        }
        for m in sorted(seen.members, key=lambda m: m.name)
    ]


def _remembered(seen: Observed, todo: Decision, old: dict[str, Any]) -> dict[str, Any]:
    """What later passes go by, as far as there is any."""
    replacing = todo.replacing
    found = {
        "clock": clocks.remembered(seen.log_time, old),
        "bootstrap": _bootstrap(seen, todo.step),
        "replacing": {"pod": replacing[0], "domain": replacing[1]} if replacing else None,
        "recovered": todo.plan.recovered or None,
    }
    return {field: value for field, value in found.items() if value is not None}


def _of_secrets(cluster: Cluster, secured: Secured) -> dict[str, Any]:
    issued = secured.issued
    found: dict[str, Any] = {}
    if cluster.spec.tls.enabled and (certificates := _certificates(secured)):
        found["certificates"] = certificates
    if issued.rotated_password and issued.published == issued.password:
        found["rotatedPassword"] = issued.rotated_password
    return found


def _certificates(secured: Secured) -> dict[str, str]:
    """When what is in force ends, and how far a change of authority is."""
    issued = secured.issued
    shown = issued.nodes.certificate if issued.nodes is not None else b""
    if not shown or not secured.bundle:
        return {}
    phase = issued.authority.phase if issued.authority is not None else ""
    found = {
        "notAfter": not_after(shown),
        "authorityNotAfter": not_after(secured.bundle),
        "phase": phase,
        "rotated": issued.rotated_authority,
    }
    return {key: value for key, value in found.items() if value}


def not_after(certificate: bytes) -> str:
    """RFC 3339; empty for what is no certificate."""
    try:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        )
    except ValueError:
        return ""


def invalid(
    old: dict[str, Any], generation: int, message: str, now: str, reason: str = "InvalidSpec"
) -> dict[str, Any]:
    """The spec cannot be acted on: say so, leave the rest as it was."""
    ready: list[Condition] = [("Ready", False, reason, message)]
    kept = {c["type"]: c for c in old.get("conditions") or []}
    conditions = merged(ready, list(kept.values()), generation, now)
    others = [c for kind, c in kept.items() if kind != "Ready"]
    return {**old, "observedGeneration": generation, "conditions": conditions + others}


def _role(node_id: str, voter: bool, leader_id: str) -> str:
    if node_id == leader_id:
        return "leader"
    return "follower" if voter else "learner"


def _bootstrap(seen: Observed, step: Step | None) -> dict[str, str] | None:
    if seen.bootstrap is not None:
        return {"pod": seen.bootstrap[0], "nodeId": seen.bootstrap[1]}
    if isinstance(step, RecordBootstrap):
        return {"pod": step.pod, "nodeId": step.node_id}
    return None


def _conditions(cluster: Cluster, seen: Observed, todo: Decision) -> list[Condition]:
    doing = todo.step.reason if todo.step is not None else todo.waiting or todo.applied
    reason = (
        todo.step.kind
        if todo.step is not None
        else todo.warning[0]
        if todo.warning is not None
        else "Waiting"
    )
    if cluster.spec.hibernated:
        reason, doing = (
            "Hibernated",
            doing or "spec.hibernated is true: no member runs, their volumes are kept",
        )
    if seen.trouble is not None and not cluster.spec.hibernated and not todo.settled:
        word, text = seen.trouble
        reason = reason if todo.warning is not None and todo.step is None else word
        doing = doing if text.partition(": ")[2] in doing else f"{doing}; {text}" if doing else text
    doing = f"{how_far(seen, todo)}{doing}" if doing else ""
    ready_names = {p.name for p in seen.pods if p.ready and not p.terminating}
    voters = [m for m in seen.members if m.voter]
    ready_voters = [m for m in voters if m.name in ready_names]
    lost = sorted(m.name for m in voters if m.name not in ready_names)
    formed_but_headless = (
        seen.leader is None and seen.bootstrap is not None and not seen.not_reached
    )
    return [
        _ready(cluster, seen, todo, len(ready_voters), reason, doing),
        _quorum(cluster, seen, todo, len(voters), len(ready_voters)),
        _available(seen, len(ready_names), doing),
        _progressing(todo, reason, "" if cluster.spec.hibernated and not seen.pods else doing),
        _degraded(
            seen, lost, "NoLeader" if formed_but_headless and not cluster.spec.hibernated else ""
        ),
        _cache(cluster, seen),
        handed_out.condition(cluster, seen),
        clocks.condition(cluster, seen.log_time),
        (
            "ReconcilePaused",
            cluster.spec.paused,
            "PausedBySpec" if cluster.spec.paused else "NotPaused",
            "",
        ),
    ]


def _progressing(todo: Decision, reason: str, doing: str) -> Condition:
    if doing:
        return ("Progressing", True, reason, doing)
    return ("Progressing", False, todo.refused_reason if todo.refused else "AtRest", todo.refused)


def how_far(seen: Observed, todo: Decision) -> str:
    """A roll is, while it serves."""
    begins = todo.step is not None and todo.step.rolls
    if seen.leader is None or not (todo.plan.rolling or begins):
        return ""
    count = max(todo.plan.target, len(seen.pods))
    done = count - len(list(outdated(seen))) + (1 if begins else 0)
    return f"serving, rolling {max(1, min(count, done))} of {count}: "


def _restarting(seen: Observed, name: str) -> bool:
    """It is not ready because it is its turn in a roll."""
    pod = next((p for p in seen.pods if p.name == name), None)
    return under_way(seen) and (
        pod is None or pod.terminating or (pod.revision == seen.revision and not pod.trouble)
    )


def _degraded(seen: Observed, lost: list[str], headless: str) -> Condition:
    if headless:
        return ("Degraded", True, headless, "no member leads")
    if lost:
        why = {p.name: f" ({p.loss.why})" for p in seen.pods if p.loss.why and p.status is None}
        parts: dict[str, list[str]] = {}
        for name in lost:
            parts.setdefault(
                "restarting in a roll" if _restarting(seen, name) else "not ready", []
            ).append(name + why.get(name, ""))
        return (
            "Degraded",
            True,
            "MembersNotReady",
            "; ".join(f"{what}: {', '.join(which)}" for what, which in parts.items()),
        )
    return ("Degraded", False, "AllMembersReady", "")


def _available(seen: Observed, ready: int, doing: str) -> Condition:
    if seen.not_reached:
        return ("Available", None, "NotReached", seen.not_reached)
    if seen.leader is not None and ready:
        return ("Available", True, "Serving", f"{ready} nodes serve")
    return ("Available", False, "NotServing", doing)


def undecided(seen: Observed, todo: Decision) -> bool:
    """Nothing is left to do as far as is known, and that may be outdated."""
    return todo.settled and (
        bool(todo.applied) or (seen.set_replicas is not None and not seen.set_current)
    )


def _ready(
    cluster: Cluster, seen: Observed, todo: Decision, ready_voters: int, reason: str, doing: str
) -> Condition:
    if todo.refused:
        return ("Ready", False, todo.refused_reason, todo.refused)
    if todo.settled and ready_voters == todo.plan.target == cluster.spec.replicas:
        if undecided(seen, todo):
            return (
                "Ready",
                False,
                UNDECIDED,
                todo.applied or "the StatefulSet's controller has not seen its newest spec yet",
            )
        return (
            "Ready",
            True,
            "AllMembersReady",
            f"{ready_voters} of {todo.plan.target} members serve",
        )
    return (
        "Ready",
        False,
        reason,
        doing or f"{ready_voters} of {cluster.spec.replicas} members serve",
    )


def _quorum(
    cluster: Cluster, seen: Observed, todo: Decision, voters: int, ready_voters: int
) -> Condition:
    if seen.not_reached:
        return ("QuorumHealthy", None, "NotReached", seen.not_reached)
    if seen.leader is None:
        if seen.bootstrap is None or cluster.spec.hibernated:
            return (
                "QuorumHealthy",
                None,
                *(
                    ("Hibernated", "no member runs")
                    if cluster.spec.hibernated
                    else ("NotFormed", "the cluster is not formed yet")
                ),
            )
        if todo.warning is not None and todo.warning[0] == "QuorumLost":
            return ("QuorumHealthy", False, *todo.warning)
        return (
            "QuorumHealthy",
            False,
            "NoLeader",
            "the members that are there are about to elect a leader",
        )
    healthy = ready_voters >= quorum(voters)
    return (
        "QuorumHealthy",
        healthy,
        "MajorityReady" if healthy else "MajorityNotReady",
        f"{ready_voters} of {voters} voters are ready",
    )


def _cache(cluster: Cluster, seen: Observed) -> Condition:
    if cluster.spec.hibernated:
        return ("CacheAvailable", False, "Hibernated", "spec.hibernated is true")
    if not cluster.spec.cache.enabled:
        return ("CacheAvailable", False, "CacheDisabled", "spec.cache.enabled is false")
    why = f": {seen.cache_trouble}" if seen.cache_trouble else ""
    said = seen.leader.status if seen.leader is not None else None
    if seen.cache_ready and said is not None and said.cache_error:
        some = said.cache_connected > 0
        text = (
            f"{said.cache_connected} of {said.cache_known} Redis pods take what the leader "
            f"publishes: {said.cache_error}"
        )
        return (
            "CacheAvailable",
            some,
            "PartlyPublished" if some else "NotPublished",
            f"{text}; counting does not depend on it",
        )
    if seen.cache_ready:
        return ("CacheAvailable", True, "RedisReady", f"{seen.cache_ready} Redis pods serve")
    return (
        "CacheAvailable",
        False,
        "RedisNotReady",
        f"no Redis pod is ready{why}; counting does not depend on it",
    )


def merged(
    conditions: list[Condition], old: list[dict[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    known = {c["type"]: c for c in old}
    found = []
    for kind, value, reason, message in conditions:
        text = {True: "True", False: "False", None: "Unknown"}[value]
        before = known.get(kind)
        since = (
            before["lastTransitionTime"] if before is not None and before["status"] == text else now
        )
        found.append(
            {
                "type": kind,
                "status": text,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
                "observedGeneration": generation,
            }
        )
    return found
