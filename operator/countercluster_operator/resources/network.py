"""Who may talk to whom: clients → RESP, nodes ↔ nodes, operator → admin, scrapers and probes →
HTTP, nodes → Redis, clients → Redis. Redis calls nobody. The operator is admitted from its own
namespace only: anybody can give a pod its label in a namespace of their own. Where nodes may call
is left open: it would take the address of the DNS, which differs from cluster to cluster."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster
from countercluster_operator.resources.child import Child, same

API = "networking.k8s.io/v1"
PODS: list[dict[str, Any]] = [{"namespaceSelector": {}}]
"""Every pod, and nobody from outside the Kubernetes cluster. Probes come from the pod's own
machine, which policies do not keep out."""
OPERATOR_LABELS = {names.LABEL_NAME: "countercluster-operator"}

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label by which the API server names each namespace; nobody can give it another value."""


def _ports(*numbers: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def policy(cluster: Cluster) -> dict[str, Any]:
    nodes = {"podSelector": {"matchLabels": names.selector(cluster.name, names.NODE)}}
    home = {"matchLabels": {NAMESPACE_NAME: cluster.operator_namespace}}
    operator = {"namespaceSelector": home, "podSelector": {"matchLabels": OPERATOR_LABELS}}
    for_clients = (
        [names.RESP, names.CLUSTER_MODE] if cluster.spec.cluster_mode.enabled else [names.RESP]
    )
    return {
        "apiVersion": API,
        "kind": "NetworkPolicy",
        "metadata": metadata(cluster, cluster.name, names.NODE),
        "spec": {
            "podSelector": {"matchLabels": names.selector(cluster.name, names.NODE)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": cluster.spec.network.clients or PODS, "ports": _ports(*for_clients)},
                {"from": cluster.spec.network.scrapers or PODS, "ports": _ports(names.HTTP)},
                {"from": [nodes], "ports": _ports(names.PEER)},
                {"from": [operator], "ports": _ports(names.ADMIN)},
            ],
        },
    }


def cache_policy(cluster: Cluster) -> dict[str, Any]:
    nodes = {"podSelector": {"matchLabels": names.selector(cluster.name, names.NODE)}}
    return {
        "apiVersion": API,
        "kind": "NetworkPolicy",
        "metadata": metadata(cluster, names.cache(cluster.name), names.CACHE),
        "spec": {
            "podSelector": {"matchLabels": names.selector(cluster.name, names.CACHE)},
            "policyTypes": ["Ingress", "Egress"],  # of the second there is none
            "ingress": [
                {
                    "from": [nodes, *(cluster.spec.network.clients or PODS)],
                    "ports": _ports(names.REDIS),
                }
            ],
        },
    }


CHILDREN = (
    Child(API, "NetworkPolicy", same, lambda wish: policy(wish.cluster)),
    Child(API, "NetworkPolicy", names.cache, lambda wish: cache_policy(wish.cluster)),
)
