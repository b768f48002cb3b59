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

import base64
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from countercluster_operator import names
from countercluster_operator.credentials.material import EMPTY, Material, dump
from countercluster_operator.credentials.users import NOBODY, Users, limits
from countercluster_operator.model import Cluster
from countercluster_operator.resources.common import metadata

TLS, USERS = "/tls", "/users"
READABLE = 0o440
"""By the group of the pod."""


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What comes from Secrets that others made. `certificates`: the files of spec.tls.secretName
    that were judged fit (fitness.py), else none; `users`: what was judged good (users.py), or was
    before."""

    certificates: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    users: Users = NOBODY


@dataclasses.dataclass(frozen=True, slots=True)
class Secured:
    """All that is secret about one cluster at this moment."""

    material: Material = EMPTY
    given: Given = dataclasses.field(default_factory=Given)

    @property
    def bundle(self) -> bytes:
        """The authorities that everybody trusts; empty for plain text."""
        return self.material.authority.bundle if self.material.authority is not None else b""

    def can_mount(self, cluster: Cluster) -> bool:
        """What pods mount is there. While a Secret of spec.tls.secretName was never fit, nothing is
        made that would mount it."""
        tls = cluster.spec.tls
        return not tls.enabled or not tls.secret_name or self.material.nodes is not None


PLAIN = Secured()
"""No certificates and no passwords."""


def nodes_secret(cluster: Cluster) -> str:
    """Also with spec.tls.secretName: pods mount nothing but what was judged, and copied."""
    return f"{cluster.name}-nodes"


def all_of(cluster: Cluster, secured: Secured) -> list[dict[str, Any]]:
    found = [client(cluster, secured)]
    if cluster.spec.tls.enabled or cluster.spec.auth.enabled:
        found.append(private(cluster, secured.material))
        if cluster.spec.cache.enabled:
            found.append(
                _secret(
                    cluster, f"{cluster.name}-cache", names.CACHE, cache_files(cluster, secured)
                )
            )
    if secured.material.nodes is not None:
        pair = secured.material.nodes
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": secured.bundle}
        found.append(
            _secret(cluster, nodes_secret(cluster), names.NODE, files, kind="kubernetes.io/tls")
        )
    if cluster.spec.auth.enabled:
        users = {
            "users.acl": _acl(cluster, secured).encode(),
            "cache-password": secured.material.cache_password.encode(),
        }
        found.append(_secret(cluster, f"{cluster.name}-users", names.NODE, users))
    return found


def private(cluster: Cluster, material: Material) -> dict[str, Any]:
    return _secret(cluster, f"{cluster.name}-private", names.NODE, dump(material))


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
    return _secret(
        cluster, f"{cluster.name}-client", names.NODE, files, kind="servicebinding.io/redis"
    )


def _acl(cluster: Cluster, secured: Secured) -> str:
    """The words of Redis's ACL file: the application's user is `default`, so that clients which
    know only passwords can log in."""
    users = secured.material.users
    return (
        f"user default on {_hashes(secured.material)} ~* "
        f"+@all\n{users.spec}{users.file}{limits(cluster, users)}"
    )


def users_digest(cluster: Cluster, secured: Secured) -> str:
    """What a node tells of the file that is in force there (node_image, security/users.py)."""
    return hashlib.sha256(_acl(cluster, secured).encode()).hexdigest()[:16]


def _hashes(material: Material) -> str:
    return " ".join(
        "#" + hashlib.sha256(p.encode()).hexdigest()
        for p in (material.password, material.previous)
        if p
    )


def cache_files(cluster: Cluster, secured: Secured) -> dict[str, bytes]:
    """Applications only read the cache; the nodes, as `default`, may do everything."""
    files = {}
    if cluster.spec.auth.enabled:
        nodes = hashlib.sha256(secured.material.cache_password.encode()).hexdigest()
        reader = (
            f"user reader on {_hashes(secured.material)} ~* +@read +@connection +info "
            f"-@dangerous +info"
        )
        files["users.acl"] = f"user default on #{nodes} ~* &* +@all\n{reader}\n".encode()
    if secured.material.cache is not None:
        files |= {
            "tls.crt": secured.material.cache.certificate,
            "tls.key": secured.material.cache.key,
            "ca.crt": secured.bundle,
        }
    return files


def _secret(
    cluster: Cluster, name: str, component: str, files: Mapping[str, bytes], kind: str = "Opaque"
) -> dict[str, Any]:
    data = {key: base64.b64encode(value).decode() for key, value in files.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(cluster, name, component),
        "type": kind,
        "data": data,
    }


def decoded(secret: Mapping[str, Any]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


# --- in pods --------------------------------------------------------------------------------------


def volume(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": READABLE}}


def mount(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "mountPath": path, "readOnly": True}
