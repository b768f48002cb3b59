"""Keeps the children as they should be, and writes only what differs.

A child is applied when what is wanted changed since it was last applied, or when somebody touched it since: its generation (which the API server
moves on every change of a spec), labels or owners are not those that the last apply returned. Status changes of a child cause no write. While the
watch shows a child as the last apply left it, it is not even read; every ten minutes it is, in case the watch is wrong.

An object of the same name that belongs to somebody else is left alone, and that is told: server-side apply would take it over without a word.

What the API server refuses (a template that makes no sense, a quota, a policy) is an answer and not a failure: the other children are kept all the
same, and the cluster is looked after as it is. A child that goes or changes in the moment of the write is tried again with the next pass. A
namespace that is being deleted takes nothing any more, which is no refusal: the error goes to the caller, once nothing is being written.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.api import Kubernetes, UnknownKind, is_terminating
from countercluster_operator.failpoints import reach
from countercluster_operator.model import Cluster
from countercluster_operator.resources import Manifest, all_children, unwanted
from countercluster_operator.resources.secrets import PLAIN, Secured

Key = tuple[str, str, str]  # kind, namespace, name
TRUST_S = 600.0
"""How long a watch is believed."""
INVALID = 422
REFUSALS = frozenset({400, 403, INVALID})
"""HTTP status codes by which the API server says that it understood and will not."""
MOVED = frozenset({404, 409})
"""Those by which it says that the child, or its namespace, went or changed meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What one round came to: names of the children that were written, what was refused with the reason, kinds that belong to others, and names
    of the children that went or changed in the moment of the write."""

    written: list[str]
    refused: list[str]
    foreign: list[str] = dataclasses.field(default_factory=list)
    moved: list[str] = dataclasses.field(default_factory=list)


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _mark(live: Manifest) -> str:
    """What moves when somebody changes the child, and stays when only its status does."""
    meta = live["metadata"]
    moving = meta.get("generation") or _digest({k: v for k, v in live.items() if k not in ("metadata", "status")})
    return _digest([meta["uid"], moving, meta.get("labels"), meta.get("ownerReferences")])


def _edited(live: Manifest) -> bool:
    """Somebody else owns a field of it, besides its status."""
    fields = live["metadata"].get("managedFields") or []
    return any(f["manager"] != names.FIELD_MANAGER and f.get("subresource") != "status" for f in fields)


def _stranger(live: Manifest, cluster: Cluster) -> str:
    """Whose it is, where it is not this cluster's; else empty. What has lost its owner, but still our labels, is taken in again."""
    meta = live["metadata"]
    owner = next((o for o in meta.get("ownerReferences") or [] if o.get("controller")), None)
    if owner is not None:
        return "" if owner["uid"] == cluster.uid else f"belongs to {owner['kind']} {owner['name']}"
    ours = names.selector(cluster.name, "").items() - {(names.LABEL_COMPONENT, "")}
    own = any(o["uid"] == cluster.uid for o in meta.get("ownerReferences") or [])
    return "" if own or ours <= (meta.get("labels") or {}).items() else "was there already and is not the operator's"


class Children:
    def __init__(self, api: Kubernetes, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._applied: dict[Key, tuple[str, str]] = {}  # what was wanted, the mark it left
        self._watched: dict[Key, str] = {}  # the mark of what the watch showed last
        self._read: dict[Key, float] = {}  # when it was last read
        self._absent: dict[Key, float] = {}  # when it was last looked for in vain

    def watched(self, kind: str, live: Manifest, *, gone: bool) -> None:
        """The watch shows this."""
        key = (kind, live["metadata"]["namespace"], live["metadata"]["name"])
        self._absent.pop(key, None)
        if gone or "deletionTimestamp" in live["metadata"]:
            self._watched.pop(key, None)
        elif key in self._applied:
            self._watched[key] = _mark(live)

    async def keep(
        self, cluster: Cluster, replicas: int, voters: int, claim_size: str = "", claims: Sequence[Manifest] = (), secured: Secured = PLAIN
    ) -> Kept:
        """Secrets first: pods that find theirs missing wait for seconds before they look again. `claim_size`: of the StatefulSet that there is.
        `claims`: volume claims that differ; they are changed and never made."""
        kept = Kept([], [], [])
        wanted = [*all_children(cluster, replicas, voters, claim_size, secured), *claims]
        for part in ([m for m in wanted if m["kind"] == "Secret"], [m for m in wanted if m["kind"] != "Secret"]):
            await _together(self._keep_one(cluster, manifest, kept) for manifest in part)
        await _together(self._remove(cluster, *gone) for gone in unwanted(cluster, voters))
        # They ended in any order, and the status must not change with it.
        return Kept(sorted(kept.written), sorted(kept.refused), sorted(kept.foreign), sorted(kept.moved))

    async def _keep_one(self, cluster: Cluster, manifest: Manifest, kept: Kept) -> None:
        meta = manifest["metadata"]
        key = (manifest["kind"], meta["namespace"], meta["name"])
        digest = _digest(manifest)
        if key in self._watched and self._applied.get(key) == (digest, self._watched[key]) and self._clock() - self._read[key] < TRUST_S:
            return
        live = await self._api.get(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"])
        self._read[key] = self._clock()
        if live is None and manifest["kind"] == "PersistentVolumeClaim":
            return
        if live is not None and "deletionTimestamp" in live["metadata"]:
            return  # it is made again when it is gone
        if live is not None and self._applied.get(key) == (digest, _mark(live)):
            return
        if live is not None and (whose := _stranger(live, cluster)):
            kept.foreign.append(manifest["kind"])
            kept.refused.append(f"{manifest['kind']} {meta['name']} {whose}: it is left alone; delete or rename it, or the CounterCluster")
            return
        before = None if live is None else live["metadata"]["resourceVersion"]
        try:
            after = await self._write(manifest, live)
        except UnknownKind:
            return  # a part that is not installed, such as Prometheus Operator; it is looked for again
        except ApiException as error:
            if error.status in MOVED:
                kept.moved.append(f"{manifest['kind']} {meta['name']}")
                return
            if error.status not in REFUSALS or is_terminating(error):
                raise
            kept.refused.append(f"the API server refuses {manifest['kind']} {meta['name']}: {_reason(error)}")
            return
        self._absent.pop(key, None)
        self._applied[key] = (digest, _mark(after))
        if after["metadata"]["resourceVersion"] != before:
            kept.written.append(f"{manifest['kind']} {meta['name']}")
            reach(f"after-{manifest['kind']}")

    async def _write(self, manifest: Manifest, live: Manifest | None) -> Manifest:
        """What somebody else put into a list stays beside ours, and may make nonsense of it: then it goes."""
        try:
            return await self._api.apply(manifest)
        except ApiException as error:
            if error.status != INVALID or live is None or not _edited(live):
                raise
        await self._api.overwrite(manifest)
        return await self._api.apply(manifest)

    async def _remove(self, cluster: Cluster, api_version: str, kind: str, name: str) -> None:
        key = (kind, cluster.namespace, name)
        if self._clock() - self._absent.get(key, -TRUST_S) < TRUST_S:
            return
        live = await self._api.get(api_version, kind, cluster.namespace, name)
        if live is not None and any(o["uid"] == cluster.uid for o in live["metadata"].get("ownerReferences") or []):
            await self._api.delete(api_version, kind, cluster.namespace, name, live["metadata"]["uid"])
        else:
            self._absent[key] = self._clock()
        self._applied.pop(key, None)

    def forget(self, namespace: str, cluster: str) -> None:
        for known in (self._applied, self._watched, self._read, self._absent):
            for key in [k for k in known if k[1] == namespace and (k[2] == cluster or k[2].startswith(f"{cluster}-"))]:
                del known[key]


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All of it is done, or has failed, when this returns or raises the first error: no write outlives its pass."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _reason(error: ApiException) -> str:
    """The API server's own words, without the HTTP around them."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
