"""What a reconcile may find, as plan() gets it: a healthy cluster, and changes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from countercluster_operator.model import Cluster, Spec
from countercluster_operator.resources.child import Child, Wish
from countercluster_operator.world.observed import Claim, Member, NodeStatus, Observed, Pod

NEW, OLD = "new", "old"


def cluster(replicas: int = 3) -> Cluster:
    return Cluster("c", "ns", "uid", 1, Spec(replicas=replicas), "image", "redis")


def node(ordinal: int) -> str:
    return f"id{ordinal}"


def waiting_pod(ordinal: int) -> Pod:
    return Pod(
        f"c-{ordinal}",
        ordinal,
        running=True,
        revision=NEW,
        status=NodeStatus(node(ordinal), "waiting"),
    )


def _role(ordinal: int, leader: int, inside: int, learners: tuple[int, ...]) -> str:
    if ordinal == leader:
        return "leader"
    if ordinal >= inside:
        return "waiting"
    return "learner" if ordinal in learners else "follower"


def formed(
    count: int = 3,
    *,
    leader: int = 0,
    learners: tuple[int, ...] = (),
    members: int | None = None,
    **more: Any,
) -> Observed:
    """A healthy cluster of `count` pods, whose first `members` are members."""
    inside = count if members is None else members
    known = tuple(Member(node(o), f"c-{o}", o not in learners, 100, True) for o in range(inside))
    pods = []
    for o in range(count):
        role = _role(o, leader, inside, learners)
        status = NodeStatus(
            node(o),
            role,
            3,
            node(leader),
            100,
            100,
            role in ("leader", "follower"),
            "",
            known if o < inside else (),
        )
        pods.append(Pod(f"c-{o}", o, ready=status.ready, running=True, revision=NEW, status=status))
    seen = Observed(
        tuple(pods),
        count,
        True,
        NEW,
        tuple(Claim(o) for o in range(count)),
        1,
        count,
        ("c-0", node(0)),
    )
    recorded = {
        "recorded_members": tuple((m.name, m.node_id) for m in known),
        "recorded_voters": tuple(m.node_id for m in known if m.voter),
    }
    seen = dataclasses.replace(seen, **recorded)
    return dataclasses.replace(seen, **more)


def change(seen: Observed, ordinal: int, **fields: Any) -> Observed:
    return dataclasses.replace(
        seen,
        pods=tuple(
            dataclasses.replace(p, **fields) if p.ordinal == ordinal else p for p in seen.pods
        ),
    )


def kill(seen: Observed, ordinal: int, **fields: Any) -> Observed:
    """The pod's process is gone, and the leader hears it no more."""
    seen = change(seen, ordinal, ready=False, running=False, status=None, **fields)
    pods = []
    for pod in seen.pods:
        if pod.status is not None:
            members = tuple(
                dataclasses.replace(m, active=False) if m.node_id == node(ordinal) else m
                for m in pod.status.members
            )
            pod = dataclasses.replace(pod, status=dataclasses.replace(pod.status, members=members))
        pods.append(pod)
    return dataclasses.replace(seen, pods=tuple(pods))


def outdated(seen: Observed, *ordinals: int) -> Observed:
    for ordinal in ordinals:
        seen = change(seen, ordinal, revision=OLD)
    return seen


def with_spec(**fields: Any) -> Cluster:
    return Cluster("c", "ns", "uid", 1, Spec(**{"replicas": 3, **fields}), "image", "redis")


def made(children: Iterable[Child], cluster: Cluster) -> list[dict[str, Any]]:
    """Their manifests for three members."""
    manifests = (child.desired(Wish(cluster, 3, 3)) for child in children)
    return [manifest for manifest in manifests if manifest is not None]
