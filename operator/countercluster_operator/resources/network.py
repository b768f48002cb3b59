"""Who may talk to whom: clients → RESP, nodes ↔ nodes, operator → admin, scrapers and probes → HTTP, nodes → Redis, clients → Redis."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.resources.common import metadata

OPERATOR_LABELS = {names.LABEL_NAME: "countercluster-operator"}


def _ports(*numbers: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def policy(cluster: Cluster) -> dict[str, Any]:
    nodes = {"podSelector": {"matchLabels": names.selector(cluster.name, names.NODE)}}
    operator = {"namespaceSelector": {}, "podSelector": {"matchLabels": OPERATOR_LABELS}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(cluster, cluster.name, names.NODE),
        "spec": {
            "podSelector": {"matchLabels": names.selector(cluster.name, names.NODE)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": _ports(names.RESP, names.HTTP)},
                {"from": [nodes], "ports": _ports(names.PEER)},
                {"from": [operator], "ports": _ports(names.ADMIN)},
            ],
        },
    }


def cache_policy(cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(cluster, names.cache(cluster.name), names.CACHE),
        "spec": {
            "podSelector": {"matchLabels": names.selector(cluster.name, names.CACHE)},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": _ports(names.REDIS)}],
        },
    }
