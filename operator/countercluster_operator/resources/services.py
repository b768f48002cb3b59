"""The Services of the nodes."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.resources.common import metadata


def peers(cluster: Cluster) -> dict[str, Any]:
    """Headless, with addresses of pods that are not ready: a node must be reachable before it is a member."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, names.peers_service(cluster.name), names.NODE),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": names.selector(cluster.name, names.NODE),
            "ports": [_port("resp", names.RESP), _port("peer", names.PEER), _port("admin", names.ADMIN), _port("http", names.HTTP)],
        },
    }


def clients(cluster: Cluster) -> dict[str, Any]:
    """Every ready pod, which is every voter that can serve. The data path does not depend on the operator."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, cluster.name, names.NODE),
        "spec": {"selector": names.selector(cluster.name, names.NODE), "ports": [_port("resp", names.RESP)]},
    }


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}
