"""An API server in memory, as far as children need it."""

from __future__ import annotations

import copy
from typing import Any

from countercluster_operator import names
from kubernetes.aio.client.exceptions import ApiException

Key = tuple[str, str]


class FakeApi:
    """Server-side apply: the generation and the version move only when something changes."""

    def __init__(self) -> None:
        self.live: dict[Key, dict[str, Any]] = {}
        self.wanted: dict[Key, dict[str, Any]] = {}
        self.applies = 0
        self.reads = 0

    async def get(
        self, _version: str, kind: str, _namespace: str, name: str
    ) -> dict[str, Any] | None:
        self.reads += 1
        if kind == names.KIND:
            return {"metadata": {"name": name, "namespace": _namespace, "uid": "uid"}}
        return copy.deepcopy(self.live.get((kind, name)))

    async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.applies += 1
        key = (manifest["kind"], manifest["metadata"]["name"])
        version = manifest["metadata"].get("resourceVersion")
        if version is not None:
            there = self.live.get(key)
            if there is None or there["metadata"]["resourceVersion"] != version:
                raise ApiException(status=409, reason="Conflict")
            meta = {k: v for k, v in manifest["metadata"].items() if k != "resourceVersion"}
            manifest = {**manifest, "metadata": meta}
        if self.wanted.get(key) != manifest:
            before = int(
                self.live.get(key, {"metadata": {"generation": 0}})["metadata"]["generation"]
            )
            meta = {
                **manifest["metadata"],
                "uid": str(key),
                "generation": before + 1,
                "resourceVersion": str(before + 1),
            }
            self.live[key] = {**copy.deepcopy(manifest), "metadata": meta}
            self.wanted[key] = copy.deepcopy(manifest)
        return copy.deepcopy(self.live[key])

    async def delete(
        self,
        _version: str,
        kind: str,
        _namespace: str,
        name: str,
        uid: str | None = None,
        **_: bool,
    ) -> None:
        """Only the very object that was seen, where `uid` says which."""
        found = self.live.get((kind, name))
        if found is not None and uid in (None, found["metadata"]["uid"]):
            del self.live[kind, name]
            self.wanted.pop((kind, name), None)
