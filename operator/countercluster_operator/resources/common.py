"""What every child has: name, namespace, labels, owner."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.model import Cluster

GIVEN_UP_S = 30
SOON_GONE = [
    {
        "key": f"node.kubernetes.io/{what}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": GIVEN_UP_S,
    }
    for what in ("not-ready", "unreachable")
]
"""A pod on a silent machine is ended after so many seconds instead of 300: a member that comes back
finds its volume all the same."""


def pod_security() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": names.USER,
        "runAsGroup": names.USER,
        "fsGroup": names.USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pull_secrets(cluster: Cluster) -> dict[str, Any]:
    """In the pod template and not at the ServiceAccount: a pod that waits for its image keeps the
    Secrets that it was made with, so another one must take its place."""
    if not cluster.pull_secrets:
        return {}
    return {"imagePullSecrets": [{"name": name} for name in cluster.pull_secrets]}


def container_security() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
