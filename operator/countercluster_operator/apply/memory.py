"""What must be remembered of a cluster, in a ConfigMap of its own, `<name>-memory`.

The status is a cache: it is lost when a CounterCluster is restored from Git, or somebody wipes it.
What is in it and cannot be seen again is therefore kept in a child as well: who formed the cluster,
who its members are, the size that is worked towards, recoveries that are done, the images that were
chosen. Where the two differ, the child is right; of images the status, as more people may write
ConfigMaps than say what runs. It is written before the status, and only when it changes; at rest it
is read every ten minutes, and after a pass that had to write a child.

An operator of a version before this child leaves it as it was, while the cluster goes on. Its
status lacks `remembered`, which says that what is in this status was written into the child first.
So a status of the operator's own hand without that word is right, and the child is written again
from it.

Should both be lost, the volumes tell: a majority of them forms its cluster again by itself, and for
the rest see `recover` in healing.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from countercluster_operator import names
from countercluster_operator.apply.ownership import stranger
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster
from countercluster_operator.world.api import Kubernetes
from countercluster_operator.world.going import ensure_there

FIELDS = ("bootstrap", "target", "recovered", "chosen", "replacing")
FILE = "memory.json"
TRUST_S = 600.0

Object = dict[str, Any]


def essence(status: Object) -> Object:
    """What of a status must be remembered."""
    found: Object = {field: status[field] for field in FIELDS if status.get(field) is not None}
    members = [
        {
            "name": m["name"],
            "nodeId": m["nodeId"],
            "role": "learner" if m["role"] == "learner" else "follower",
        }
        for m in status.get("members") or []
    ]
    return {**found, "members": sorted(members, key=lambda m: (m["name"], m["nodeId"]))}


def recalled(status: Object, kept: Object | None) -> Object:
    """The status, with what it forgot."""
    if kept is None:
        return status
    rest = {field: value for field, value in status.items() if field not in FIELDS}
    found = {**rest, **{field: kept[field] for field in FIELDS if field in kept}}
    if status.get("chosen"):
        found["chosen"] = status["chosen"]
    if essence(status)["members"] != kept["members"]:
        found["members"] = [{**m, "ready": False} for m in kept["members"]]
    return found


def older_wrote(body: Object) -> bool:
    """Whether its status is of an operator that knows no memory: nobody else's hand is in what is
    to be remembered."""
    if (body.get("status") or {}).get("remembered"):
        return False
    hands = set()
    for entry in body["metadata"].get("managedFields") or []:
        fields = (entry.get("fieldsV1") or {}).get("f:status") or {}
        if {"f:bootstrap", "f:members"} & fields.keys():
            hands.add(entry.get("manager"))
    return hands == {names.FIELD_MANAGER}


class Memory:
    def __init__(self, api: Kubernetes, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._known: dict[
            tuple[str, str, str], tuple[Object | None, float]
        ] = {}  # namespace, name, uid
        self._orphans: set[tuple[str, str, str]] = (
            set()
        )  # whose memory is still to be given its owner

    async def look(self, body: Object) -> Object | None:
        """None where there is none, or it is another's. Raises what a request may raise: what
        cannot be read is not taken for nothing."""
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"], meta["uid"])
        known = self._known.get(key)
        if known is not None and self._clock() - known[1] < TRUST_S:
            return known[0]
        found = await self._api.get("v1", "ConfigMap", meta["namespace"], f"{meta['name']}-memory")
        mine = found is not None and not stranger(found, meta["name"], meta["uid"])
        self._known[key] = (_load(found) if found is not None and mine else None, self._clock())
        self._orphans.discard(key)
        if found is not None and mine and not found["metadata"].get("ownerReferences"):
            self._orphans.add(
                key
                # it would outlive the cluster, and tell the next of the name of members that are
                # gone
            )
        return self._known[key][0]

    async def keep(self, cluster: Cluster, status: Object) -> str:
        """Empty, or why there is none: then the status is all that there is."""
        key = (cluster.namespace, cluster.name, cluster.uid)
        wanted = essence(status)
        if self._known.get(key, (None, 0.0))[0] == wanted and key not in self._orphans:
            return ""
        name = f"{cluster.name}-memory"
        there = await self._api.get("v1", "ConfigMap", cluster.namespace, name)
        if there is not None and (whose := stranger(there, cluster.name, cluster.uid)):
            return (
                f"ConfigMap {name} {whose}: what must be remembered of this cluster is in its "
                f"status alone"
            )
        await ensure_there(self._api, cluster)
        data = {FILE: json.dumps(wanted, sort_keys=True)}
        await self._api.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata(cluster, name, names.NODE),
                "data": data,
            }
        )
        self._known[key] = (wanted, self._clock())
        self._orphans.discard(key)
        return ""

    def doubt(self, namespace: str, name: str) -> None:
        """It is read again with the next pass."""
        for key in [k for k in self._known if k[:2] == (namespace, name)]:
            self._known[key] = (self._known[key][0], self._clock() - TRUST_S)

    def forget(self, namespace: str, name: str) -> None:
        for key in [k for k in self._known if k[:2] == (namespace, name)]:
            del self._known[key]
            self._orphans.discard(key)


def _load(found: Object) -> Object | None:
    """None for what nobody can read any more."""
    try:
        value = json.loads((found.get("data") or {}).get(FILE, ""))
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("members"), list) else None
