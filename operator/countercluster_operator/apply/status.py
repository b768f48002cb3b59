"""Writes the status, and knows whether the object that the pass has read is still the one of
its name."""

from __future__ import annotations

from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.world.api import Kubernetes
from countercluster_operator.world.going import CONFLICT, Changed, is_another


class Status:
    def __init__(self, api: Kubernetes) -> None:
        self._api = api

    async def is_another(self, body: dict[str, Any]) -> bool:
        """The CounterCluster is going, is gone, or another one of its name is there."""
        meta = body["metadata"]
        return await is_another(self._api, meta["namespace"], meta["name"], meta["uid"])

    async def write(self, body: dict[str, Any], new: dict[str, Any]) -> None:
        """With the version of what was observed: the API server refuses it when that was changed,
        or when another one of the same name has come in its place (a UID would be no help: a status
        carries none). Raises Changed."""
        old, meta = body.get("status") or {}, body["metadata"]
        if new == {k: v for k, v in old.items() if k in new} and old.keys() == new.keys():
            return
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "resourceVersion": meta["resourceVersion"],
            },
            "status": new,
        }
        try:
            await self._api.apply(manifest, subresource="status")
        except ApiException as error:
            if error.status == CONFLICT:
                raise Changed from None
            raise
