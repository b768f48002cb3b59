"""Looks at one CounterCluster: its pods, claims and StatefulSet by the Kubernetes API, its nodes by
their admin ports, all at once."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import ssl
from collections.abc import Iterator
from typing import Any

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.world import trouble
from countercluster_operator.world.api import Kubernetes
from countercluster_operator.world.belongings import Belongings, Crowds
from countercluster_operator.world.landscape import NEWEST_S, Landscape, Silence
from countercluster_operator.world.machines import NONE, Loss, Machines
from countercluster_operator.world.node_client import ask
from countercluster_operator.world.observed import Claim, NodeStatus, Observed, Pod, node_status
from countercluster_operator.world.replies import Refusal, document
from countercluster_operator.world.statuses import judged
from countercluster_operator.world.trouble import running

ASK_S = 2.0
COMMAND_S = 15.0


async def admin(
    ip: str,
    server_name: str,
    context: ssl.SSLContext | None,
    *command: str,
    timeout_s: float = COMMAND_S,
) -> bytes | int | None:
    """One RAFT.* command to the node at `ip`; with a context by mutual TLS. Raises Refusal,
    Hostile, OSError, TimeoutError."""
    return await ask(ip, server_name, context, *command, timeout_s=timeout_s)


async def _ask(
    ip: str, server_name: str, context: ssl.SSLContext | None, patience_s: float
) -> NodeStatus | None:
    """None from a node that does not answer, and from one whose answer is beyond bounds."""
    try:
        async with asyncio.timeout(patience_s):
            answer = await admin(ip, server_name, context, "RAFT.STATUS", timeout_s=ASK_S)
            return node_status(judged(document(answer if isinstance(answer, bytes) else b"")))
    except (Refusal, ValueError, OSError, TimeoutError):
        return None


@dataclasses.dataclass(slots=True)
class Raw:
    """What the API and the nodes answered, as they answered it. `answers`: by pod. `volumes`: by
    name, those of silent pods."""

    now: datetime.datetime
    pods: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    stateful_set: dict[str, Any] | None
    cache: dict[str, Any] | None = None
    cache_pods: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    answers: dict[str, NodeStatus] = dataclasses.field(default_factory=dict)
    volumes: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    machines: Machines | None = None
    may_keep: bool = True
    crowded: str = ""


async def observe(
    api: Kubernetes,
    cluster: Cluster,
    status: dict[str, Any],
    context: ssl.SSLContext | None = None,
    landscape: Landscape | None = None,
) -> tuple[Observed, dict[str, str]]:
    """What there is, and the address of each pod. `context`: for the admin ports; None for plain
    text."""
    own = Belongings(api, cluster, landscape.crowds if landscape is not None else Crowds())
    raw = await _read(api, cluster, own)
    silence = landscape.silence if landscape is not None else Silence()
    answers = await asyncio.gather(*(_ask_pod(cluster, p, context, silence) for p in raw.pods))
    raw.answers = {
        p["metadata"]["name"]: a for p, a in zip(raw.pods, answers, strict=True) if a is not None
    }
    addresses = {p["metadata"]["name"]: p.get("status", {}).get("podIP", "") for p in raw.pods}
    if landscape is None:
        return read(cluster, status, raw), addresses
    patience_s = cluster.spec.healing.replace_lost_after_seconds
    if status.get("bootstrap") and len(raw.answers) < len(raw.pods) and patience_s:
        await _look_around(landscape, raw)
    raw.may_keep = landscape.may("keep") and landscape.may("volumes")
    seen = read(cluster, status, raw)
    if raw.machines is not None and any(
        p.loss.seconds >= patience_s for p in seen.pods if p.loss.seconds
    ):
        raw.machines = await landscape.machines(NEWEST_S)
        seen = read(cluster, status, raw)
    return seen, addresses


async def _read(api: Kubernetes, cluster: Cluster, own: Belongings) -> Raw:
    """What the API server has of the cluster's own."""
    pods, claims, stateful_set, cache = await asyncio.gather(
        own.pods(),
        own.claims(),
        api.get("apps/v1", "StatefulSet", cluster.namespace, cluster.name),
        api.get("apps/v1", "Deployment", cluster.namespace, names.cache(cluster.name)),
    )
    now = datetime.datetime.now(datetime.UTC)
    if len(pods) < (_stateful_set(stateful_set, now)["set_replicas"] or 0):
        pods = [*pods, *await own.strays({p["metadata"]["name"] for p in pods})]
    numbered = [p for p in pods if names.ordinal(cluster.name, p["metadata"]["name"]) is not None]
    raw = Raw(now, numbered, claims, stateful_set, cache)
    wanted = cluster.spec.cache.enabled and not cluster.spec.hibernated
    if cache is not None and not _cache_ready(cache) and wanted:
        raw.cache_pods = await own.cache_pods()
    raw.crowded = own.crowded
    return raw


async def _look_around(landscape: Landscape, raw: Raw) -> None:
    """For the machines and volumes of the pods that do not answer."""
    raw.machines = await landscape.machines()
    silent = {
        volume
        for p in raw.pods
        if p["metadata"]["name"] not in raw.answers and (volume := _volume_of(p, raw.claims))
    }
    found = await asyncio.gather(*(landscape.volume(name) for name in silent))
    raw.volumes = {v["metadata"]["name"]: v for v in found if v is not None}


def _claim_of(pod: dict[str, Any], claims: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next(
        (c for c in claims if c["metadata"]["name"] == f"data-{pod['metadata']['name']}"), None
    )


def _volume_of(pod: dict[str, Any], claims: list[dict[str, Any]]) -> str:
    claim = _claim_of(pod, claims)
    return str((claim or {"spec": {}})["spec"].get("volumeName") or "")


def read(cluster: Cluster, status: dict[str, Any], raw: Raw) -> Observed:
    """What is made of it. Pure."""
    found = []
    for pod in raw.pods:
        name, loss = pod["metadata"]["name"], NONE
        if name not in raw.answers and raw.machines is not None:
            loss = raw.machines.loss(
                pod, _claim_of(pod, raw.claims), raw.volumes.get(_volume_of(pod, raw.claims))
            )
        found.append(
            _pod(
                cluster,
                pod,
                names.ordinal(cluster.name, name) or 0,
                raw.answers.get(name),
                raw.now,
                loss,
            )
        )
    bootstrap = status.get("bootstrap") or {}
    replacing = status.get("replacing") or {}
    return Observed(
        pods=tuple(sorted(found, key=lambda p: p.ordinal)),
        cache_secrets=_cache_secrets(raw.cache),
        **_stateful_set(raw.stateful_set, raw.now),
        claims=tuple(sorted(_claims(cluster, raw.claims), key=lambda c: c.ordinal)),
        cache_ready=_cache_ready(raw.cache),
        cache_trouble=_cache_trouble(cluster, raw),
        target=status.get("target"),
        recorded_members=tuple(
            (m["name"], m["nodeId"]) for m in status.get("members") or [] if m.get("name")
        ),
        recorded_voters=tuple(
            m["nodeId"] for m in status.get("members") or [] if m.get("role") != "learner"
        ),
        recovered=status.get("recovered", ""),
        bootstrap=(bootstrap["pod"], bootstrap["nodeId"]) if bootstrap.get("nodeId") else None,
        may_keep=raw.may_keep,
        crowded=raw.crowded,
        replacing=(replacing["pod"], replacing["domain"]) if replacing.get("pod") else None,
    )


async def _ask_pod(
    cluster: Cluster, pod: dict[str, Any], context: ssl.SSLContext | None, silence: Silence
) -> NodeStatus | None:
    ip = pod.get("status", {}).get("podIP")
    if not ip or not running(pod):
        return None
    uid = pod["metadata"]["uid"]
    answer = await _ask(
        ip,
        names.pod_host(cluster.name, cluster.namespace, pod["metadata"]["name"]),
        context,
        silence.patience_s(uid),
    )
    silence.note(uid, answered=answer is not None)
    return answer


def _pod(
    cluster: Cluster,
    pod: dict[str, Any],
    ordinal: int,
    answer: NodeStatus | None,
    now: datetime.datetime,
    loss: Loss = NONE,
) -> Pod:
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions") or []}
    return Pod(
        name=pod["metadata"]["name"],
        ordinal=ordinal,
        ready=conditions.get("Ready") == "True",
        terminating="deletionTimestamp" in pod["metadata"],
        running=running(pod),
        revision=(pod["metadata"].get("labels") or {}).get("controller-revision-hash", ""),
        trouble=trouble.of_pod(pod),
        killed=trouble.killed(pod, now),
        age_s=_age_s(pod, now),
        status=answer,
        loss=loss,
        stray=not names.selector(cluster.name, names.NODE).items()
        <= (pod["metadata"].get("labels") or {}).items(),
        uid=pod["metadata"]["uid"],
    )


def _age_s(pod: dict[str, Any], now: datetime.datetime) -> float:
    made = pod["metadata"].get("creationTimestamp")
    return max(0.0, (now - datetime.datetime.fromisoformat(made)).total_seconds()) if made else 0.0


def _cache_ready(deployment: dict[str, Any] | None) -> int:
    return ((deployment or {}).get("status") or {}).get("availableReplicas") or 0


def _cache_trouble(cluster: Cluster, raw: Raw) -> str:
    """Why no Redis is ready."""
    if _cache_ready(raw.cache) or not cluster.spec.cache.enabled or cluster.spec.hibernated:
        return ""
    return next(
        (text for pod in raw.cache_pods if (text := trouble.of_pod(pod, trouble.REDIS))), ""
    ) or trouble.of_deployment(raw.cache)


def _cache_secrets(deployment: dict[str, Any] | None) -> str:
    """With what of their Secrets all of Redis's pods were started; empty while some are of another
    template."""
    if deployment is None:
        return ""
    status, meta = (
        deployment.get("status") or {},
        deployment["spec"]["template"].get("metadata") or {},
    )
    replaced = status.get("observedGeneration") == deployment["metadata"]["generation"]
    replaced = replaced and status.get("updatedReplicas", 0) == status.get("replicas", 0)
    return (meta.get("annotations") or {}).get(names.SECRETS, "") if replaced else ""


def _stateful_set(found: dict[str, Any] | None, now: datetime.datetime) -> dict[str, Any]:
    if found is None or "deletionTimestamp" in found["metadata"]:
        return {"set_replicas": None}
    status = found.get("status") or {}
    written = [
        datetime.datetime.fromisoformat(f["time"])
        for f in found["metadata"].get("managedFields") or []
        if "time" in f
    ]
    return {
        "set_replicas": found["spec"]["replicas"],
        "set_current": status.get("observedGeneration") == found["metadata"]["generation"],
        "set_idle_s": max(0.0, (now - max(written, default=now)).total_seconds()),
        "set_uid": found["metadata"]["uid"],
        "revision": status.get("updateRevision", ""),
        "template_size": found["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"][
            "storage"
        ],
    }


def _claims(cluster: Cluster, found: list[dict[str, Any]]) -> Iterator[Claim]:
    prefix = names.claim(cluster.name, 0)[:-1]
    for claim in found:
        meta = claim["metadata"]
        number = meta["name"].removeprefix(prefix)
        if number.isdigit() and "deletionTimestamp" not in meta:
            yield Claim(
                ordinal=int(number),
                owned=any(
                    owner["uid"] == cluster.uid for owner in meta.get("ownerReferences") or []
                ),
                bound=(claim.get("status") or {}).get("phase") == "Bound",
                size=claim["spec"]["resources"]["requests"]["storage"],
                uid=meta["uid"],
                volume=claim["spec"].get("volumeName", ""),
                capacity=((claim.get("status") or {}).get("capacity") or {}).get("storage", ""),
            )
