"""Keeps the children as they should be, and writes only what differs.

A child is applied when what is wanted changed since it was last applied, or when somebody touched
it since: its generation (which the API server moves on every change of a spec), labels or owners
are not those that the last apply returned. Status changes of a child cause no write. While the
watch shows a child as the last apply left it, it is not even read; every ten minutes it is, in case
the watch is wrong.

An object of the same name that belongs to somebody else is left alone, and that is told:
server-side apply would take it over without a word. It is not used either: a workload whose pods
would run under a foreign ServiceAccount, or mount a foreign Secret, is not applied (`_named`).

What the API server refuses (a template that makes no sense, a quota, a policy, a webhook that fails
or does not answer) is an answer and not a failure (refusals.py): the other children are kept all
the same, and the cluster is looked after as it is. A child that goes or changes in the moment of
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

from countercluster_operator import names
from countercluster_operator.apply.failpoints import reach
from countercluster_operator.credentials.secured import PLAIN, Secured
from countercluster_operator.manifest import Manifest
from countercluster_operator.model import Cluster
from countercluster_operator.resources import all_children, unwanted
from countercluster_operator.world.api import UNREACHABLE, Kubernetes, UnknownKind, is_terminating
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


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _mark(live: Manifest) -> str:
    """What moves when somebody changes the child, and stays when only its status does."""
    meta = live["metadata"]
    moving = meta.get("generation") or _digest(
        {k: v for k, v in live.items() if k not in ("metadata", "status")}
    )
    return _digest([meta["uid"], moving, meta.get("labels"), meta.get("ownerReferences")])


def _edited(live: Manifest) -> bool:
    """Somebody else owns a field of it, besides its status."""
    fields = live["metadata"].get("managedFields") or []
    return any(
        f["manager"] != names.FIELD_MANAGER and f.get("subresource") != "status" for f in fields
    )


def stranger(live: Manifest, name: str, uid: str) -> str:
    """Whose it is, where it is not this cluster's; else empty. What has lost its owner, but still
    our labels, is taken in again."""
    meta = live["metadata"]
    owner = next((o for o in meta.get("ownerReferences") or [] if o.get("controller")), None)
    if owner is not None:
        return "" if owner["uid"] == uid else f"belongs to {owner['kind']} {owner['name']}"
    ours = names.selector(name, "").items() - {(names.LABEL_COMPONENT, "")}
    own = any(o["uid"] == uid for o in meta.get("ownerReferences") or [])
    return (
        ""
        if own or ours <= (meta.get("labels") or {}).items()
        else "was there already and is not the operator's"
    )


NAMED = frozenset({"Secret", "ServiceAccount"})
"""Kinds that a pod template names."""


def _named(manifest: Manifest) -> set[str]:
    """The Secrets and the ServiceAccount that the pods of a workload use; nothing for any other
    kind."""
    pod = (manifest.get("spec") or {}).get("template", {}).get("spec") or {}
    account = pod.get("serviceAccountName")
    mounted = [v["secret"]["secretName"] for v in pod.get("volumes") or [] if "secret" in v]
    return {f"Secret {name}" for name in mounted} | (
        {f"ServiceAccount {account}"} if account else set()
    )


class Children:
    def __init__(self, api: Kubernetes, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._applied: dict[Key, tuple[str, str]] = {}  # what was wanted, the mark it left
        self._watched: dict[Key, str] = {}  # the mark of what the watch showed last
        self._read: dict[Key, float] = {}  # when it was last read
        self._absent: dict[Key, float] = {}  # when it was last looked for in vain
        self._refusals = Refusals(clock)

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
        kept = Kept([], [], [])
        wanted = [
            m
            for m in (*all_children(cluster, replicas, voters, claim_size, secured), *claims)
            if m["kind"] not in withheld
        ]
        end = asyncio.get_running_loop().time() + KEEP_S
        first, then = (
            [m for m in wanted if m["kind"] in NAMED],
            [m for m in wanted if m["kind"] not in NAMED],
        )
        await _together(end, [self._keep_one(cluster, manifest, kept) for manifest in first])
        foreign = set(kept.foreign_names)
        held = {
            (m["kind"], m["metadata"]["name"]): used
            for m in then
            if (used := sorted(foreign & _named(m)))
        }
        kept.held.extend(kind for kind, _ in held)
        kept.refused.extend(
            f"{kind} {name} is not applied: its pods would use {used[0]}, which is not ours"
            for (kind, name), used in held.items()
        )
        more = [
            self._keep_one(cluster, m, kept)
            for m in then
            if (m["kind"], m["metadata"]["name"]) not in held
        ]
        await _together(
            end,
            [*more, *(self._remove(cluster, *gone, kept) for gone in unwanted(cluster, voters))],
        )
        # They ended in any order, and the status must not change with it.
        return Kept(
            *(
                sorted(names)
                for names in (
                    kept.written,
                    kept.refused,
                    kept.foreign,
                    kept.foreign_names,
                    kept.held,
                    kept.moved,
                )
            )
        )

    async def _keep_one(self, cluster: Cluster, manifest: Manifest, kept: Kept) -> None:
        """Whatever the API server says to it, or does not say, is noted in `kept`. Raises only when
        the namespace is being deleted."""
        meta = manifest["metadata"]
        key = (manifest["kind"], meta["namespace"], meta["name"])
        digest = _digest(manifest)
        what = f"{manifest['kind']} {meta['name']}"
        if text := self._refusals.waiting(key, digest):
            kept.refused.append(text)
            return
        try:
            await self._see_to(cluster, manifest, key, digest, kept)
        except UnknownKind:
            # a part that is not installed, such as Prometheus Operator; it is looked for again
            return
        except (*UNREACHABLE, asyncio.CancelledError) as error:
            self._note(key, digest, what, error, kept)
        else:
            self._refusals.drop(key)

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
    ) -> None:
        meta = manifest["metadata"]
        if (
            key in self._watched
            and self._applied.get(key) == (digest, self._watched[key])
            and self._clock() - self._read[key] < TRUST_S
        ):
            return
        live = await self._api.get(
            manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"]
        )
        self._read[key] = self._clock()
        if live is None and manifest["kind"] == "PersistentVolumeClaim":
            return
        if live is not None and "deletionTimestamp" in live["metadata"]:
            return  # it is made again when it is gone
        if live is not None and self._applied.get(key) == (digest, _mark(live)):
            return
        if live is not None and (whose := stranger(live, cluster.name, cluster.uid)):
            kept.foreign.append(manifest["kind"])
            kept.foreign_names.append(f"{manifest['kind']} {meta['name']}")
            kept.refused.append(
                f"{manifest['kind']} {meta['name']} {whose}: it is left alone; delete or rename "
                f"it, or the CounterCluster"
            )
            return
        before = None if live is None else live["metadata"]["resourceVersion"]
        after = await self._write(manifest, live)
        self._absent.pop(key, None)
        self._applied[key] = (digest, _mark(after))
        if after["metadata"]["resourceVersion"] != before:
            kept.written.append(f"{manifest['kind']} {meta['name']}")
            reach(f"after-{manifest['kind']}")

    async def _write(self, manifest: Manifest, live: Manifest | None) -> Manifest:
        """What somebody else put into a list stays beside ours, and may make nonsense of it: then
        it goes."""
        try:
            return await self._api.apply(manifest)
        except ApiException as error:
            if error.status != INVALID or live is None or not _edited(live):
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
        if live is not None and any(
            o["uid"] == cluster.uid for o in live["metadata"].get("ownerReferences") or []
        ):
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
