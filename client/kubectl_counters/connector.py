"""Connections to the nodes of one cluster: the certificate by which a node is known, and the
password or certificate that the plugin shows.

1. What is needed is read from the cluster's own Secrets with the rights of whoever runs the plugin,
   only when it is needed, and is kept in memory: `<name>-client` (authority, user, password) to
   count, `<name>-private` (the operator's certificate) to administer.
2. Pages (status, metrics) ask for nothing, and nothing secret is sent for them. Who may not read
   Secrets gets them all the same, without a check of the node's certificate: the connection is the
   API server's port-forward, which ends inside the very pod that was asked for.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from kubectl_counters.kube import Object, Trouble

Files = Mapping[str, bytes]


class Connector:
    """`secret`: the content of a Secret of the cluster's namespace by its name; raises Trouble."""

    def __init__(self, cluster: Object, secret: Callable[[str], Files]) -> None:
        meta, spec = cluster["metadata"], cluster["spec"]
        self._name, self._secret = str(meta["name"]), secret
        self._server_name = f"{meta['name']}.{meta['namespace']}.svc"
        self._tls: Mapping[str, Any] = spec.get("tls") or {}
        self._login = bool((spec.get("auth") or {}).get("enabled"))

    @property
    def secured(self) -> bool:
        return bool(self._tls.get("enabled"))

    @cached_property
    def login(self) -> dict[str, Any]:
        """Options of redis-py; none where nobody has to log in. Raises Trouble."""
        if not self._login:
            return {}
        found = self._client
        return {
            "username": found.get("username", b"default").decode(),
            "password": self._needed("password", found).decode(),
        }

    def to_page(self, connection: socket.socket) -> socket.socket:
        """The HTTP port."""
        return self._shaken(connection, lambda: self._pages)

    def to_count(self, connection: socket.socket) -> socket.socket:
        """The Redis protocol. Raises Trouble."""
        return self._shaken(connection, lambda: self._clients)

    def to_administer(self, connection: socket.socket) -> socket.socket:
        """The admin port. Raises Trouble."""
        return self._shaken(connection, lambda: self._admin)

    def _shaken(
        self, connection: socket.socket, context: Callable[[], ssl.SSLContext]
    ) -> socket.socket:
        if not self.secured:
            return connection
        try:
            return context().wrap_socket(connection, server_hostname=self._server_name)
        except OSError as error:
            raise Trouble(f"TLS with {self._server_name}: {error}") from None

    @cached_property
    def _client(self) -> Files:
        return self._secret(f"{self._name}-client")

    @cached_property
    def _clients(self) -> ssl.SSLContext:
        return _trusting(self._needed("ca.crt", self._client))

    @cached_property
    def _pages(self) -> ssl.SSLContext:
        try:
            return self._clients
        except Trouble:  # rule 2
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context

    @cached_property
    def _admin(self) -> ssl.SSLContext:
        """An operator of 0.1.0 shows the certificate of spec.tls.secretName, and keeps none of its
        own then."""
        given, stem = str(self._tls.get("secretName") or ""), "admin"
        found = self._secret(f"{self._name}-private")
        if given and not found.get("admin.crt"):
            stem, found = "tls", self._secret(given)
        context = _trusting(self._needed("ca.crt", self._client))
        with tempfile.TemporaryDirectory(
            prefix="kubectl-counters-"
        ) as folder:  # OpenSSL's Python face reads keys from files only
            paths = [Path(folder, f"{stem}.{end}") for end in ("crt", "key")]
            for path in paths:
                _write_private(path, self._needed(path.name, found))
            context.load_cert_chain(*map(str, paths))
        return context

    def _needed(self, key: str, found: Files) -> bytes:
        if not found.get(key):
            raise Trouble(
                f"the Secrets of {self._name} have no {key} yet: kubectl counters status "
                f"{self._name} tells what the operator is doing"
            )
        return found[key]


def _trusting(authorities: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authorities.decode())
    return context


def _write_private(path: Path, content: bytes) -> None:
    with contextlib.closing(
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    ) as file:
        file.write(content)
