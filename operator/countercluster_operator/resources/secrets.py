"""The Secrets of a cluster, made from its credentials, and the volumes through which pods see them.

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
from countercluster_operator.model import Cluster, Spec
from countercluster_operator.resources.child import Child, Wish, suffixed

TLS, USERS = "/tls", "/users"
READABLE = 0o440
"""By the group of the pod."""


def nodes_secret(cluster: Cluster) -> str:
    """Also with spec.tls.secretName: pods mount nothing but what was judged, and copied."""
    return f"{cluster.name}-nodes"


def _private(wish: Wish) -> dict[str, Any] | None:
    spec = wish.cluster.spec
    return private(wish.cluster, wish.secured.issued) if _is_secured(spec) else None


def _is_secured(spec: Spec) -> bool:
    return spec.tls.enabled or spec.auth.enabled


def _cache(wish: Wish) -> dict[str, Any] | None:
    cluster, secured = wish.cluster, wish.secured
    if not _is_secured(cluster.spec) or not cluster.spec.cache.enabled:
        return None
    return secret(cluster, f"{cluster.name}-cache", names.CACHE, cache_files(cluster, secured))


def _nodes(wish: Wish) -> dict[str, Any] | None:
    cluster, pair = wish.cluster, wish.secured.issued.nodes
    if pair is None:
        return None
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": wish.secured.bundle}
    return secret(cluster, nodes_secret(cluster), names.NODE, files, kind="kubernetes.io/tls")


def _users(wish: Wish) -> dict[str, Any] | None:
    cluster, secured = wish.cluster, wish.secured
    if not cluster.spec.auth.enabled:
        return None
    users = {
        "users.acl": users_file(cluster, secured).encode(),
        "cache-password": secured.issued.cache_password.encode(),
    }
    return secret(cluster, f"{cluster.name}-users", names.NODE, users)


def client(cluster: Cluster, secured: Secured) -> dict[str, Any]:
    host = f"{cluster.name}.{cluster.namespace}.svc"
    cache = f"{names.cache(cluster.name)}.{cluster.namespace}.svc"
    scheme = "rediss" if cluster.spec.tls.enabled else "redis"
    password = secured.issued.published
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


CHILDREN = (
    Child("v1", "Secret", suffixed("client"), lambda wish: client(wish.cluster, wish.secured)),
    Child("v1", "Secret", suffixed("private"), _private),
    Child("v1", "Secret", suffixed("cache"), _cache),
    Child("v1", "Secret", suffixed("nodes"), _nodes),
    Child("v1", "Secret", suffixed("users"), _users),
)


# --- in pods --------------------------------------------------------------------------------------


def volume(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": READABLE}}


def mount(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "mountPath": path, "readOnly": True}
