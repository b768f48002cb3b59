"""The pods and volume claims of one cluster, read without trust in how many there are.

1. Labels select them, in the API server's memory, in one answer of each kind. Anybody in the
   namespace can put these labels on objects of his own, thousands of them: no more than
   `MOST_BYTES` of an answer is read.
2. Where there is more, what can be the cluster's own is asked for by its name, `MAX_REPLICAS` of
   each kind. That is done for `CROWDED_S`, then the labels are tried again. It is reported
   (`Observed.crowded`), as it is slower, and as somebody should know.
3. A pod whose labels somebody changed is searched only while one seems to be missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from countercluster_operator import names
from countercluster_operator.model import MAX_REPLICAS, Cluster
from countercluster_operator.world.api import Kubernetes, TooMuch

MOST_BYTES = 4 << 20
"""Seven pods with what others put into them take a hundredth of it."""
CROWDED_S = 600.0

Object = dict[str, Any]


class Crowds:
    """Whose labels are on too many objects, and until when that is believed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}  # by UID of the cluster, and kind

    def note(self, uid: str, kind: str) -> None:
        now = self._clock()
        self._until = {key: end for key, end in self._until.items() if end > now}
        self._until[uid, kind] = now + CROWDED_S

    def of(self, uid: str) -> list[str]:
        """Kinds, in words."""
        return sorted(
            kind
            for (whose, kind), end in self._until.items()
            if whose == uid and end > self._clock()
        )


class Belongings:
    def __init__(self, api: Kubernetes, cluster: Cluster, crowds: Crowds) -> None:
        self._api, self._cluster, self._crowds = api, cluster, crowds

    async def pods(self) -> list[Object]:
        """Of the nodes; those whose labels are not ours any more may be among them."""
        return await self._read(
            "Pod", [names.pod(self._cluster.name, n) for n in range(MAX_REPLICAS)]
        )

    async def claims(self) -> list[Object]:
        return await self._read(
            "PersistentVolumeClaim",
            [names.claim(self._cluster.name, n) for n in range(MAX_REPLICAS)],
        )

    async def strays(self, known: set[str]) -> list[Object]:
        """Pods that are ours by name and account, and whose labels somebody changed."""
        cluster = self._cluster
        account = f"spec.serviceAccountName={cluster.name}"
        if "Pod" in self._crowds.of(cluster.uid):
            return []  # rule 2 has found them
        try:
            found = await self._api.list(
                "v1",
                "Pod",
                cluster.namespace,
                {},
                fields=account,
                cached=True,
                most_bytes=MOST_BYTES,
            )
        except TooMuch:
            self._crowds.note(cluster.uid, "Pod")
            found = await self._by_name(
                "Pod", [names.pod(cluster.name, n) for n in range(MAX_REPLICAS)]
            )
        return [
            p
            for p in found
            if p["metadata"]["name"] not in known
            and names.ordinal(cluster.name, p["metadata"]["name"]) is not None
        ]

    async def cache_pods(self) -> list[Object]:
        """Of Redis; nothing where they cannot be distinguished from others. Nothing is decided by
        them, they only tell why."""
        selector = names.selector(self._cluster.name, names.CACHE)
        try:
            return await self._api.list(
                "v1", "Pod", self._cluster.namespace, selector, cached=True, most_bytes=MOST_BYTES
            )
        except TooMuch:
            return []

    @property
    def crowded(self) -> str:
        """In words; empty where everything was read."""
        kinds = " and ".join(f"{kind}s" for kind in self._crowds.of(self._cluster.uid))
        if not kinds:
            return ""
        label = f"{names.LABEL_INSTANCE}={self._cluster.name}"
        many = f"{kinds} with the label {label} take more than {MOST_BYTES >> 20} MiB"
        return f"{many}: the members' own are asked for by name; find whose the others are"

    async def _read(self, kind: str, own: list[str]) -> list[Object]:
        cluster = self._cluster
        if kind in self._crowds.of(cluster.uid):
            return await self._by_name(kind, own)
        try:
            selector = names.selector(cluster.name, names.NODE)
            return await self._api.list(
                "v1", kind, cluster.namespace, selector, cached=True, most_bytes=MOST_BYTES
            )
        except TooMuch:
            self._crowds.note(cluster.uid, kind)
            return await self._by_name(kind, own)

    async def _by_name(self, kind: str, own: list[str]) -> list[Object]:
        """Those that the labels or the account would have shown as well: a name alone is
        anybody's."""
        found = await asyncio.gather(
            *(self._api.get("v1", kind, self._cluster.namespace, name) for name in own)
        )
        return [one for one in found if one is not None and self._is_ours(one)]

    def _is_ours(self, found: Object) -> bool:
        labels = found["metadata"].get("labels") or {}
        ours = names.selector(self._cluster.name, names.NODE).items() <= labels.items()
        return ours or (found.get("spec") or {}).get("serviceAccountName") == self._cluster.name
