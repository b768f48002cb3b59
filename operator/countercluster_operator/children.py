"""Keeps the children as they should be, and writes only what differs.

A child is applied when what is wanted changed since it was last applied, or when somebody touched it since: its generation (which the API server
moves on
every change of a spec), labels or owners are not those that the last apply returned. Status changes of a child cause no write.

What the API server refuses (a template that makes no sense, a quota, a policy) is an answer and not a failure: the other children are kept all the
same, and the cluster is looked after as it is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator.api import Kubernetes
from countercluster_operator.model import Cluster
from countercluster_operator.resources import Manifest, all_children, unwanted

Key = tuple[str, str, str]  # kind, namespace, name
REFUSALS = frozenset({400, 403, 422})
"""HTTP status codes by which the API server says that it understood and will not."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What one round came to: names of the children that were written, and what was refused with the reason."""

    written: list[str]
    refused: list[str]


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _mark(live: Manifest) -> str:
    """What moves when somebody changes the child, and stays when only its status does."""
    meta = live["metadata"]
    moving = meta.get("generation") or _digest({k: v for k, v in live.items() if k not in ("metadata", "status")})
    return _digest([meta["uid"], moving, meta.get("labels"), meta.get("ownerReferences")])


class Children:
    def __init__(self, api: Kubernetes) -> None:
        self._api = api
        self._applied: dict[Key, tuple[str, str]] = {}  # what was wanted, the mark it left

    async def keep(self, cluster: Cluster, replicas: int, voters: int, claim_size: str = "", claims: Sequence[Manifest] = ()) -> Kept:
        """`claim_size`: of the StatefulSet that there is. `claims`: volume claims that differ; they are changed and never made."""
        kept = Kept([], [])
        wanted = [*all_children(cluster, replicas, voters, claim_size), *claims]
        await asyncio.gather(*(self._keep_one(manifest, kept) for manifest in wanted))
        await asyncio.gather(*(self._remove(cluster, *gone) for gone in unwanted(cluster, voters)))
        return Kept(sorted(kept.written), sorted(kept.refused))  # they ended in any order, and the status must not change with it

    async def _keep_one(self, manifest: Manifest, kept: Kept) -> None:
        meta = manifest["metadata"]
        key = (manifest["kind"], meta["namespace"], meta["name"])
        live = await self._api.get(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"])
        digest = _digest(manifest)
        if live is None and manifest["kind"] == "PersistentVolumeClaim":
            return
        if live is not None and "deletionTimestamp" in live["metadata"]:
            return  # it is made again when it is gone
        if live is not None and self._applied.get(key) == (digest, _mark(live)):
            return
        before = None if live is None else live["metadata"]["resourceVersion"]
        try:
            after = await self._api.apply(manifest)
        except ApiException as error:
            if error.status not in REFUSALS:
                raise
            kept.refused.append(f"{manifest['kind']} {meta['name']}: {_reason(error)}")
            return
        self._applied[key] = (digest, _mark(after))
        if after["metadata"]["resourceVersion"] != before:
            kept.written.append(f"{manifest['kind']} {meta['name']}")

    async def _remove(self, cluster: Cluster, api_version: str, kind: str, name: str) -> None:
        live = await self._api.get(api_version, kind, cluster.namespace, name)
        if live is not None and any(o["uid"] == cluster.uid for o in live["metadata"].get("ownerReferences") or []):
            await self._api.delete(api_version, kind, cluster.namespace, name, live["metadata"]["uid"])
        self._applied.pop((kind, cluster.namespace, name), None)

    def forget(self, namespace: str, cluster: str) -> None:
        self._applied = {k: v for k, v in self._applied.items() if not (k[1] == namespace and (k[2] == cluster or k[2].startswith(f"{cluster}-")))}


def _reason(error: ApiException) -> str:
    """The API server's own words, without the HTTP around them."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
