"""The Services of the nodes."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster
from countercluster_operator.resources.child import Child, same


def peers(cluster: Cluster) -> dict[str, Any]:
    """Headless, with addresses of pods that are not ready: a node must be reachable before it is a
    member."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, names.peers_service(cluster.name), names.NODE),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": names.selector(cluster.name, names.NODE),
            "ports": [
                *_for_clients(cluster),
                _port("peer", names.PEER),
                _port("admin", names.ADMIN),
                _port("http", names.HTTP),
            ],
        },
    }


def clients(cluster: Cluster) -> dict[str, Any]:
    """Every ready pod, which is every voter that can serve. The data path does not depend on the
    operator."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, cluster.name, names.NODE),
        "spec": {
            "selector": names.selector(cluster.name, names.NODE),
            "ports": _for_clients(cluster),
        },
    }


def _for_clients(cluster: Cluster) -> list[dict[str, Any]]:
    """Nodes advertise themselves to clients in cluster mode by their names of the headless Service,
    with the port of that mode."""
    ports = [_port("resp", names.RESP)]
    if cluster.spec.cluster_mode.enabled:
        ports.append(_port("cluster", names.CLUSTER_MODE))
    return ports


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}


CHILDREN = (
    Child("v1", "Service", names.peers_service, lambda wish: peers(wish.cluster)),
    Child("v1", "Service", same, lambda wish: clients(wish.cluster)),
)
