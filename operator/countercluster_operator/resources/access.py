"""The identity of the nodes: an account without any right, whose token is not even mounted."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster
from countercluster_operator.resources.child import Child, same


def service_account(cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(cluster, cluster.name, names.NODE),
        "automountServiceAccountToken": False,
    }


CHILDREN = (Child("v1", "ServiceAccount", same, lambda wish: service_account(wish.cluster)),)
