"""All that is secret about one cluster at one moment, and the files that are made from it. Pure.

The files have one place, as two sides read them: the Secrets that pods mount
(resources/secrets.py), and whoever compares them with what a node or Redis says that it uses
(store.py)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from countercluster_operator import names
from countercluster_operator.credentials.issued import EMPTY, Credentials, dump
from countercluster_operator.credentials.users import NOBODY, Users, limits
from countercluster_operator.manifest import Manifest, metadata
from countercluster_operator.model import Cluster


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

    issued: Credentials = EMPTY
    given: Given = dataclasses.field(default_factory=Given)

    @property
    def bundle(self) -> bytes:
        """The authorities that everybody trusts; empty for plain text."""
        return self.issued.authority.bundle if self.issued.authority is not None else b""

    def can_mount(self, cluster: Cluster) -> bool:
        """What pods mount is there. While a Secret of spec.tls.secretName was never fit, nothing is
        made that would mount it."""
        tls = cluster.spec.tls
        return not tls.enabled or not tls.secret_name or self.issued.nodes is not None


PLAIN = Secured()
"""No certificates and no passwords."""


def users_file(cluster: Cluster, secured: Secured) -> str:
    """The words of Redis's ACL file: the application's user is `default`, so that clients which
    know only passwords can log in."""
    users = secured.issued.users
    return (
        f"user default on {_hashes(secured.issued)} ~* "
        f"+@all\n{users.spec}{users.file}{limits(cluster, users)}"
    )


def users_digest(cluster: Cluster, secured: Secured) -> str:
    """What a node tells of the file that is in force there (node_image, users/file.py)."""
    return hashlib.sha256(users_file(cluster, secured).encode()).hexdigest()[:16]


def _hashes(issued: Credentials) -> str:
    return " ".join(
        "#" + hashlib.sha256(p.encode()).hexdigest()
        for p in (issued.password, issued.previous)
        if p
    )


def cache_files(cluster: Cluster, secured: Secured) -> dict[str, bytes]:
    """Applications only read the cache; the nodes, as `default`, may do everything."""
    files = {}
    if cluster.spec.auth.enabled:
        nodes = hashlib.sha256(secured.issued.cache_password.encode()).hexdigest()
        reader = (
            f"user reader on {_hashes(secured.issued)} ~* +@read +@connection +info "
            f"-@dangerous +info"
        )
        files["users.acl"] = f"user default on #{nodes} ~* &* +@all\n{reader}\n".encode()
    if secured.issued.cache is not None:
        files |= {
            "tls.crt": secured.issued.cache.certificate,
            "tls.key": secured.issued.cache.key,
            "ca.crt": secured.bundle,
        }
    return files


def secrets_digest(cluster: Cluster, secured: Secured) -> str:
    """Of what Redis reads when it starts."""
    files = cache_files(cluster, secured)
    return hashlib.sha256(
        b"".join(files.get(name, b"") for name in ("tls.crt", "users.acl"))
    ).hexdigest()[:16]


def private(cluster: Cluster, issued: Credentials) -> Manifest:
    return secret(cluster, f"{cluster.name}-private", names.NODE, dump(issued))


def secret(
    cluster: Cluster, name: str, component: str, files: Mapping[str, bytes], kind: str = "Opaque"
) -> Manifest:
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
