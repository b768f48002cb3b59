"""Whether the CounterCluster of a pass is still the one of its name.

1. Each pass works on what it has read. Meanwhile the CounterCluster may be deleted, or another one
   of its name may be made: then the pass ends, and nothing has failed.
2. A child that has lost its owner is asked for this first. With `--cascade=orphan` the garbage
   collector takes the owner off each child before the CounterCluster goes. An owner that is put
   back in that moment makes it delete the child afterwards: the StatefulSet with all its pods.
"""

from __future__ import annotations

from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.world.api import Kubernetes, is_terminating

CONFLICT = 409


class Changed(Exception):
    """The CounterCluster was changed, deleted, or made again since this pass has read it."""


async def is_another(api: Kubernetes, namespace: str, name: str, uid: str) -> bool:
    """It is being deleted, is gone, or another one of its name is there."""
    now = await api.get(names.API_VERSION, names.KIND, namespace, name)
    return now is None or "deletionTimestamp" in now["metadata"] or now["metadata"]["uid"] != uid


async def ensure_there(api: Kubernetes, cluster: Cluster) -> None:
    """Raises Changed."""
    if await is_another(api, cluster.namespace, cluster.name, cluster.uid):
        raise Changed


def is_owned(live: dict[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in live["metadata"].get("ownerReferences") or [])


def raise_if_going(error: BaseException) -> None:
    """Another object, or none: nothing is left to be done in this pass."""
    if isinstance(error, ApiException) and (
        error.status in (404, CONFLICT) or is_terminating(error)
    ):
        raise error
