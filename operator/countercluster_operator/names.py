"""Every name, label and port, in one place. They are part of the contract:
docs/reference/countercluster.md."""

from __future__ import annotations

GROUP = "countercluster.io"
VERSION = "v1alpha1"
PLURAL = "counterclusters"
KIND = "CounterCluster"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "countercluster-operator"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
ROLL_LEADER = f"{GROUP}/roll-leader"
ACKNOWLEDGED_HISTORY = f"{GROUP}/acknowledged-history"
"""Annotation of a CounterCluster: the revision whose roll may go on to the leader."""
RESTARTED = f"{GROUP}/restarted-at"
"""Annotation of pods by which `kubectl counters restart` makes them again."""
TOUCHED = f"{GROUP}/touched"
"""Annotation of a StatefulSet: when the operator last made its controller look at it."""
SECRETS = f"{GROUP}/secrets"
"""Annotation of Redis's pods: what of their Secrets they were started with."""
RELEASED = f"{GROUP}/released"
"""Annotation of a PersistentVolume that is kept although its member was replaced: why, and when.
The labels `OF_NAMESPACE` and `OF_CLAIM` say whose it was."""
OF_NAMESPACE, OF_CLAIM = f"{GROUP}/namespace", f"{GROUP}/claim"
APP = "countercluster"
NODE, CACHE = "node", "cache"

RESP, PEER, ADMIN, HTTP, REDIS = 6379, 7000, 7001, 8080, 6379
CLUSTER_MODE = 6380
"""Clients in Redis cluster mode; with spec.clusterMode.enabled."""
USER = 65532
"""The user of every container."""


def labels(cluster: str, component: str) -> dict[str, str]:
    return {
        LABEL_NAME: APP,
        LABEL_INSTANCE: cluster,
        LABEL_COMPONENT: component,
        LABEL_MANAGED: FIELD_MANAGER,
    }


def selector(cluster: str, component: str) -> dict[str, str]:
    """The part of the labels that never changes."""
    return {LABEL_NAME: APP, LABEL_INSTANCE: cluster, LABEL_COMPONENT: component}


def peers_service(cluster: str) -> str:
    return f"{cluster}-peers"


def cache(cluster: str) -> str:
    return f"{cluster}-cache"


def cache_pods_service(cluster: str) -> str:
    return f"{cluster}-cache-pods"


def pod(cluster: str, ordinal: int) -> str:
    return f"{cluster}-{ordinal}"


def pod_host(cluster: str, namespace: str, pod_name: str) -> str:
    """The pod's name in DNS, and in its certificate."""
    return f"{pod_name}.{peers_service(cluster)}.{namespace}.svc"


def claim(cluster: str, ordinal: int) -> str:
    return f"data-{cluster}-{ordinal}"


def ordinal(cluster: str, pod_name: str) -> int | None:
    """The pod's number in its StatefulSet, or None when it is no pod of this cluster."""
    prefix, _, number = pod_name.rpartition("-")
    return int(number) if prefix == cluster and number.isdigit() else None
