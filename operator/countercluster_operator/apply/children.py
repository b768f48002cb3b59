"""Keeps the children as they should be, and writes only what differs.

A child is applied when what is wanted changed since it was last applied, or when somebody touched
it since: its generation (which the API server moves on every change of a spec), labels or owners
are not those that the last apply returned. Status changes of a child cause no write. While the
watch shows a child as the last apply left it, it is not even read; every ten minutes it is, in case
the watch is wrong. A kind that is not watched (run/handlers.py) is read in each pass.

An object of the same name that belongs to somebody else is left alone, and that is reported
(ownership.py). It is not used either: a workload whose pods would run under a foreign
ServiceAccount, or mount a foreign Secret, is not applied. A child that somebody else changes each
time is applied with pauses (contests.py). An apply carries the version that was read: what others
did meanwhile, such as taking its owner off it, is seen before it is written over (going.py).

What the API server refuses (a template that makes no sense, a quota, a policy, a webhook that fails
or does not answer) is an answer and not a failure (refusals.py): the other children are kept all
the same, and the cluster is reconciled as it is. A child that goes or changes in the moment of
the write is tried again with the next pass. A namespace that is being deleted takes nothing any
more, which is no refusal: the error goes to the caller, once nothing is being written."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator.apply.contests import Contests
from countercluster_operator.apply.failpoints import reach
from countercluster_operator.apply.ownership import (
    NAMED,
    edited,
    last_editor,
    stranger,
    used_by,
)
from countercluster_operator.credentials.secured import PLAIN, Secured
from countercluster_operator.manifest import Manifest
from countercluster_operator.model import Cluster
from countercluster_operator.resources.registry import all_children, unwanted
from countercluster_operator.world.api import UNREACHABLE, Kubernetes, UnknownKind, is_terminating
from countercluster_operator.world.going import ensure_there, is_owned
from countercluster_operator.world.refusals import Refusals, reason, retry_after_s

Key = tuple[str, str, str]  # kind, namespace, name
TRUST_S = 600.0
"""How long a watch is believed."""
INVALID = 422
KEEP_S = 20.0
"""All children together: what is not written by then is given up, so that no write outlives its
pass."""
MOVED = frozenset({404, 409})
"""Those by which it says that the child, or its namespace, went or changed meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What one round came to: names of the children that were written, what was refused with the
    reason, kinds and names of those that belong to others, kinds of workloads whose pods would use
    one of those, and names of the children that went or changed in the moment of the write."""

    written: list[str]
    refused: list[str]
    foreign: list[str] = dataclasses.field(default_factory=list)
    foreign_names: list[str] = dataclasses.field(default_factory=list)
    held: list[str] = dataclasses.field(default_factory=list)
    moved: list[str] = dataclasses.field(default_factory=list)

    def in_order(self) -> Kept:
        """They ended in any order, and the status must not change with it."""
        return Kept(*(sorted(getattr(self, f.name)) for f in dataclasses.fields(self)))


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _mark(live: Manifest) -> str:
    """What moves when somebody changes the child, and stays when only its status does."""
    meta = live["metadata"]
    moving = meta.get("generation") or _digest(
        {k: v for k, v in live.items() if k not in ("metadata", "status")}
    )
    return _digest([meta["uid"], moving, meta.get("labels"), meta.get("ownerReferences")])


class Children:
    def __init__(self, api: Kubernetes, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._applied: dict[Key, tuple[str, str]] = {}  # what was wanted, the mark it left
        self._watched: dict[Key, str] = {}  # the mark of what the watch showed last
        self._read: dict[Key, float] = {}  # when it was last read
        self._absent: dict[Key, float] = {}  # when it was last asked for in vain
        self._refusals, self._contests = Refusals(clock), Contests(clock)

    def watched(self, kind: str, live: Manifest, *, gone: bool) -> None:
        """The watch shows this."""
        key = (kind, live["metadata"]["namespace"], live["metadata"]["name"])
        self._absent.pop(key, None)
        if gone or "deletionTimestamp" in live["metadata"]:
            self._watched.pop(key, None)
        elif key in self._applied:
            self._watched[key] = _mark(live)

    async def keep(
        self,
        cluster: Cluster,
        replicas: int,
        voters: int,
        claim_size: str = "",
        claims: Sequence[Manifest] = (),
        secured: Secured = PLAIN,
        withheld: Collection[str] = (),
    ) -> Kept:
        """First what pods name: without it they wait for seconds before they look again, and one
        that is foreign is seen before it is named. `claim_size`: of the StatefulSet that there is.
        `claims`: volume claims that differ; they are changed and never made. `withheld`: kinds that
        are left as they are, because the administrator does not allow what would go into them
        (restrictions.py)."""
        wanted = [
            m
            for m in (*all_children(cluster, replicas, voters, claim_size, secured), *claims)
            if m["kind"] not in withheld
        ]
        kept, end = Kept([], []), asyncio.get_running_loop().time() + KEEP_S
        first = [m for m in wanted if m["kind"] in NAMED]
        await _together(end, [self._keep_one(cluster, m, kept) for m in first])
        then = self._usable([m for m in wanted if m["kind"] not in NAMED], kept)
        work = [self._keep_one(cluster, m, kept) for m in then]
        gone = [self._remove(cluster, *one, kept) for one in unwanted(cluster, voters)]
        await _together(end, [*work, *gone])
        return kept.in_order()

    def _usable(self, manifests: Sequence[Manifest], kept: Kept) -> list[Manifest]:
        """Those whose pods would use nothing that is foreign; the others are noted in `kept`."""
        foreign, found = set(kept.foreign_names), []
        for manifest in manifests:
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            if used := sorted(foreign & used_by(manifest)):
                kept.held.append(kind)
                kept.refused.append(
                    f"{kind} {name} is not applied: its pods would use {used[0]}, which is not ours"
                )
            else:
                found.append(manifest)
        return found

    async def _keep_one(self, cluster: Cluster, manifest: Manifest, kept: Kept) -> None:
        """Whatever the API server says to it, or does not say, is noted in `kept`. Raises only when
        the namespace is being deleted."""
        meta = manifest["metadata"]
        key = (manifest["kind"], meta["namespace"], meta["name"])
        digest = _digest(manifest)
        what = f"{manifest['kind']} {meta['name']}"
        text = self._refusals.waiting(key, digest)
        if text and not (self._is_as_applied(key, digest) and self._contests.calm(key)):
            kept.refused.append(text)
            return
        try:
            contested = await self._see_to(cluster, manifest, key, digest, kept)
        except UnknownKind:
            # a part that is not installed, such as Prometheus Operator; it is asked for again
            return
        except (*UNREACHABLE, asyncio.CancelledError) as error:
            self._note(key, digest, what, error, kept)
        else:
            if not contested:
                self._refusals.drop(key)
                return
            self._refusals.add(key, digest, contested)
            kept.refused.append(contested)

    def _is_as_applied(self, key: Key, digest: str) -> bool:
        """The watch shows it as the last apply left it, and that is what is wanted."""
        return key in self._watched and self._applied.get(key) == (digest, self._watched[key])

    def _note(self, key: Key, wish: str, what: str, error: BaseException, kept: Kept) -> None:
        if isinstance(error, ApiException):
            if error.status in MOVED:
                kept.moved.append(what)
                return
            if is_terminating(error):
                raise error
        if isinstance(error, asyncio.CancelledError):
            error = TimeoutError()  # its time was over (_together)
        text = f"the API server refuses {what}: {reason(error)}"
        self._refusals.add(key, wish, text, retry_after_s(error))
        kept.refused.append(text)

    async def _see_to(
        self, cluster: Cluster, manifest: Manifest, key: Key, digest: str, kept: Kept
    ) -> str:
        """Why it is contested; else empty."""
        if self._is_as_applied(key, digest) and self._clock() - self._read[key] < TRUST_S:
            return ""
        kind, meta = manifest["kind"], manifest["metadata"]
        live = await self._api.get(manifest["apiVersion"], kind, meta["namespace"], meta["name"])
        self._read[key] = self._clock()
        if live is None and kind == "PersistentVolumeClaim":
            return ""
        if live is not None:
            if "deletionTimestamp" in live["metadata"]:
                return ""  # it is made again when it is gone
            if self._applied.get(key) == (digest, _mark(live)):
                return ""
            if whose := stranger(live, cluster.name, cluster.uid):
                kept.foreign.append(kind)
                kept.foreign_names.append(f"{kind} {meta['name']}")
                kept.refused.append(
                    f"{kind} {meta['name']} {whose}: it is left alone; delete or rename "
                    f"it, or the CounterCluster"
                )
                return ""
            if "ownerReferences" in meta and not is_owned(live, cluster.uid):
                await ensure_there(self._api, cluster)
        after = await self._write(manifest, live)
        self._absent.pop(key, None)
        self._applied[key] = (digest, _mark(after))
        if live is not None and (
            after["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
        ):
            return ""
        kept.written.append(f"{kind} {meta['name']}")
        reach(f"after-{kind}")
        if not self._contests.wrote(key, digest):
            return ""
        who = last_editor(live) if live is not None else ""
        return (
            f"{kind} {meta['name']} is changed or deleted by "
            f"{who or 'somebody'} each time that it is applied: it is applied with pauses; "
            f"let only one of them write it (docs/operating/trouble.md#childrefused)"
        )

    async def _write(self, manifest: Manifest, live: Manifest | None) -> Manifest:
        """What somebody else put into a list stays beside ours, and may make nonsense of it: then
        it goes."""
        if live is None:
            return await self._api.apply(manifest)
        read = {"resourceVersion": live["metadata"]["resourceVersion"]}
        try:
            return await self._api.apply({**manifest, "metadata": {**manifest["metadata"], **read}})
        except ApiException as error:
            if error.status != INVALID or not edited(live):
                raise
        await self._api.overwrite(manifest)
        return await self._api.apply(manifest)

    async def _remove(
        self, cluster: Cluster, api_version: str, kind: str, name: str, kept: Kept
    ) -> None:
        key = (kind, cluster.namespace, name)
        if self._clock() - self._absent.get(key, -TRUST_S) < TRUST_S:
            return
        if text := self._refusals.waiting(key, ""):
            kept.refused.append(text)
            return
        try:
            await self._take_away(cluster, api_version, kind, name, key)
        except (*UNREACHABLE, asyncio.CancelledError) as error:
            self._note(key, "", f"to delete {kind} {name}", error, kept)
        else:
            self._refusals.drop(key)

    async def _take_away(
        self, cluster: Cluster, api_version: str, kind: str, name: str, key: Key
    ) -> None:
        live = await self._api.get(api_version, kind, cluster.namespace, name)
        if live is not None and is_owned(live, cluster.uid):
            await self._api.delete(
                api_version, kind, cluster.namespace, name, live["metadata"]["uid"]
            )
        else:
            self._absent[key] = self._clock()
        self._applied.pop(key, None)

    def forget(self, namespace: str, cluster: str) -> None:
        def belongs(key: Any) -> bool:
            return bool(
                key[1] == namespace and (key[2] == cluster or key[2].startswith(f"{cluster}-"))
            )

        for known in (self._applied, self._watched, self._read, self._absent):
            for key in [k for k in known if belongs(k)]:
                del known[key]
        self._refusals.forget(belongs)
        self._contests.forget(belongs)


async def _together(end: float, work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of it is done, has failed, or was cancelled at `end` (of the loop's clock) when this
    returns or raises the first error: no write outlives its pass."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, end - asyncio.get_running_loop().time()))
    finally:
        for task in tasks:
            task.cancel()  # which means nothing to one that is done
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
