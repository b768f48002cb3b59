"""Redis, the read cache: bounded in memory, nothing on disk, refilled by the leader whenever it is
empty."""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.credentials.secured import PLAIN, Secured, cache_files, secrets_digest
from countercluster_operator.manifest import metadata
from countercluster_operator.model import Cluster
from countercluster_operator.quantity import in_bytes
from countercluster_operator.resources import secrets
from countercluster_operator.resources.child import Child, Wish
from countercluster_operator.resources.common import (
    SOON_GONE,
    container_security,
    pod_security,
    pull_secrets,
)

FILES = "/secrets"
SOCKET = "/tmp/redis.sock"
SUITES_OF_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""As of the nodes (counter_node/security/tls.py)."""
HEADROOM = 1.5
"""Memory limit of the container, as a multiple of maxmemory."""


def service(cluster: Cluster) -> dict[str, Any]:
    return _service(cluster, names.cache(cluster.name), {})


def pods_service(cluster: Cluster) -> dict[str, Any]:
    """One address for each Redis, so that the leader can publish to all."""
    return _service(cluster, names.cache_pods_service(cluster.name), {"clusterIP": "None"})


def _service(cluster: Cluster, name: str, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(cluster, name, names.CACHE),
        "spec": {
            **extra,
            "selector": names.selector(cluster.name, names.CACHE),
            "ports": [
                {"name": "redis", "port": names.REDIS, "targetPort": "redis", "protocol": "TCP"}
            ],
        },
    }


def deployment(cluster: Cluster, secured: Secured = PLAIN) -> dict[str, Any]:
    """Redis reads certificate and users when it starts: the pods are made again when these change,
    and refilled."""
    cache = cluster.spec.cache
    files = cache_files(cluster, secured)
    meta: dict[str, Any] = {"labels": names.labels(cluster.name, names.CACHE)}
    if files:
        meta["annotations"] = {names.SECRETS: secrets_digest(cluster, secured)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(cluster, names.cache(cluster.name), names.CACHE),
        "spec": {
            "replicas": 0 if cluster.spec.hibernated else cache.replicas,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": names.selector(cluster.name, names.CACHE)},
            "template": {
                "metadata": meta,
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    **pull_secrets(cluster),
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": pod_security(),
                    "affinity": _apart(cluster),
                    "tolerations": SOON_GONE,
                    "containers": [_container(cluster)],
                    "volumes": [
                        {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
                        *([secrets.volume("secrets", f"{cluster.name}-cache")] if files else []),
                    ],
                },
            },
        },
    }


def _apart(cluster: Cluster) -> dict[str, Any]:
    """On other machines where there are any."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": names.selector(cluster.name, names.CACHE)},
    }
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": term}
            ]
        }
    }


def _checks(tls: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Readiness and liveness. With TLS not by a connection that is opened and closed: to Redis that
    is a failed handshake, and it logs each. The socket in its own /tmp needs neither handshake nor
    login: whatever it answers, it serves. As each look is a process, they are fewer then."""
    if not tls:
        check = {
            "tcpSocket": {"port": "redis"},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        }
        return check, {**check, "periodSeconds": 10}
    look = {
        "exec": {"command": ["redis-cli", "-s", SOCKET, "ping"]},
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }
    return {**look, "periodSeconds": 5}, {**look, "periodSeconds": 20}


def _container(cluster: Cluster) -> dict[str, Any]:
    limit = in_bytes(cluster.spec.cache.memory)
    tls, auth = cluster.spec.tls.enabled, cluster.spec.auth.enabled
    options = {
        "--port": "0" if tls else str(names.REDIS),
        "--save": "",
        "--appendonly": "no",
        "--maxmemory": str(limit),
        "--maxmemory-policy": "allkeys-lru",
        "--protected-mode": "no",
        "--dir": "/tmp",
    }
    if tls:
        options |= {"--tls-port": str(names.REDIS), "--tls-auth-clients": "no"}
        options |= {
            "--tls-cert-file": f"{FILES}/tls.crt",
            "--tls-key-file": f"{FILES}/tls.key",
            "--tls-ca-cert-file": f"{FILES}/ca.crt",
        }
        options |= {"--tls-ciphers": SUITES_OF_1_2, "--tls-session-caching": "no"}
    if auth:
        options["--aclfile"] = f"{FILES}/users.acl"
    if tls:
        options |= {"--unixsocket": SOCKET, "--unixsocketperm": "700"}
    ready, alive = _checks(tls)
    return {
        "name": "redis",
        "image": cluster.cache_image,
        "imagePullPolicy": cluster.spec.image_pull_policy,
        "command": ["redis-server"],
        "args": [word for option in options.items() for word in option],
        "ports": [{"name": "redis", "containerPort": names.REDIS, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": "20m", "memory": "16Mi"},
            "limits": {"memory": str(int(limit * HEADROOM) + (16 << 20))},
        },
        "securityContext": container_security(),
        "readinessProbe": ready,
        "livenessProbe": alive,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            *([secrets.mount("secrets", FILES)] if tls or auth else []),
        ],
    }


def _is_off(wish: Wish) -> bool:
    return not wish.cluster.spec.cache.enabled


def _deployment(wish: Wish) -> dict[str, Any] | None:
    """Not before there is everything that its pods mount."""
    if _is_off(wish) or not wish.secured.can_mount(wish.cluster):
        return None
    return deployment(wish.cluster, wish.secured)


CHILDREN = (
    Child(
        "v1",
        "Service",
        names.cache,
        lambda wish: None if _is_off(wish) else service(wish.cluster),
        _is_off,
    ),
    Child(
        "v1",
        "Service",
        names.cache_pods_service,
        lambda wish: None if _is_off(wish) else pods_service(wish.cluster),
        _is_off,
    ),
    Child("apps/v1", "Deployment", names.cache, _deployment, _is_off),
)
