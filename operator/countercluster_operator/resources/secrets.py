"""The Secrets of a cluster, made from its `Material`, and the volumes through which pods see them.

<name>-private   everything; for the operator, and for whoever may administer the cluster (kubectl
                 counters)
<name>-nodes     certificate, key and authorities of the nodes: mounted at /tls
<name>-users     who may log in (users.acl, passwords as SHA-256) and the nodes' password for Redis:
                 mounted at /users
<name>-cache     certificate, key and users of Redis
<name>-client    what an application needs to connect (keys of the Service Binding specification)
"""

from __future__ import annotations

from typing import Any

from countercluster_operator import names
from countercluster_operator.credentials.secured import (
    Secured,
    cache_files,
    private,
    secret,
    users_file,
)
from countercluster_operator.model import Cluster

TLS, USERS = "/tls", "/users"
READABLE = 0o440
"""By the group of the pod."""


def nodes_secret(cluster: Cluster) -> str:
    """Also with spec.tls.secretName: pods mount nothing but what was judged, and copied."""
    return f"{cluster.name}-nodes"


def all_of(cluster: Cluster, secured: Secured) -> list[dict[str, Any]]:
    found = [client(cluster, secured)]
    if cluster.spec.tls.enabled or cluster.spec.auth.enabled:
        found.append(private(cluster, secured.material))
        if cluster.spec.cache.enabled:
            found.append(
                secret(cluster, f"{cluster.name}-cache", names.CACHE, cache_files(cluster, secured))
            )
    if secured.material.nodes is not None:
        pair = secured.material.nodes
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": secured.bundle}
        found.append(
            secret(cluster, nodes_secret(cluster), names.NODE, files, kind="kubernetes.io/tls")
        )
    if cluster.spec.auth.enabled:
        users = {
            "users.acl": users_file(cluster, secured).encode(),
            "cache-password": secured.material.cache_password.encode(),
        }
        found.append(secret(cluster, f"{cluster.name}-users", names.NODE, users))
    return found


def client(cluster: Cluster, secured: Secured) -> dict[str, Any]:
    host = f"{cluster.name}.{cluster.namespace}.svc"
    cache = f"{names.cache(cluster.name)}.{cluster.namespace}.svc"
    scheme = "rediss" if cluster.spec.tls.enabled else "redis"
    password = secured.material.told
    login, reader = (f":{password}@", f"reader:{password}@") if password else ("", "")
    data = {
        "type": "redis",
        "host": host,
        "port": str(names.RESP),
        "uri": f"{scheme}://{login}{host}:{names.RESP}",
    }
    if cluster.spec.cluster_mode.enabled:
        data["cluster-uri"] = f"{scheme}://{login}{host}:{names.CLUSTER_MODE}"
    if password:
        data |= {"username": "default", "password": password}
    if cluster.spec.cache.enabled:
        data["cache-uri"] = f"{scheme}://{reader}{cache}:{names.REDIS}"
    files = {key: value.encode() for key, value in data.items()}
    if secured.bundle:
        files["ca.crt"] = secured.bundle
    return secret(
        cluster, f"{cluster.name}-client", names.NODE, files, kind="servicebinding.io/redis"
    )


# --- in pods --------------------------------------------------------------------------------------


def volume(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": READABLE}}


def mount(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "mountPath": path, "readOnly": True}
