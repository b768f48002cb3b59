"""The node's certificates: read from a folder, tried before they are used, and read again when the
files change.

    <name>.crt, <name>.key    certificate (with its chain) and key of this node; where they are
                              missing, tls.crt and tls.key, as in the Secrets of
                              Kubernetes and cert-manager
    ca.crt                    the authorities that are trusted: during a change of authority the old
                              one and the new one

1. Who a certificate stands for is its SAN of type URI: `countercluster://<cluster id>/node/<name>`
   or `…/client/operator`. Peers check it on both sides, beyond the signature (net/peers.py); the
   admin port wants the operator's name or this node's own, letter by letter.
2. What is read is tried by a handshake of the node with itself before it is used. At the start a
   bad file ends the node; later it is reported, and what was there goes on.
3. Connections keep what they were made with; new ones get what is newest. So a rotation drops
   nobody.
4. Our own ports speak TLS 1.3 without resumption, so that every connection shows its certificate;
   clients may come with 1.2.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ssl
import time
from pathlib import Path
from typing import Any, Final

from counter_node.logs import log
from counter_node.security.files import require_regular

SCHEME: Final = "countercluster"
OPERATOR: Final = "client/operator"
CHECK_S: Final = 1.0
"""How often the files are checked."""


SUITES_OF_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For clients that know no TLS 1.3: forward secrecy and authenticated encryption, so none in CBC
mode."""


class CertificateError(Exception):
    """The files in the folder cannot be used; the message names the folder and says why."""


def node_uri(cluster_id: str, name: str) -> str:
    return f"{SCHEME}://{cluster_id}/node/{name}"


def operator_uri(cluster_id: str) -> str:
    return f"{SCHEME}://{cluster_id}/{OPERATOR}"


def uris(certificate: dict[str, Any] | None) -> frozenset[str]:
    """The names that a peer's certificate carries, as `getpeercert` gives it; nothing without
    one."""
    return frozenset(
        value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Contexts:
    """What one reading of the files came to."""

    clients: ssl.SSLContext
    """Server, for everybody who trusts our authority."""
    members: ssl.SSLContext
    """Server, for those who have a certificate of our authorities."""
    dial: ssl.SSLContext
    """Client, to other nodes."""
    certificate: dict[str, Any]
    """Our own, decoded."""
    trust: str
    """Digest of the authorities that are trusted: the first 16 hex digits of the SHA-256 of
    ca.crt."""

    @property
    def serial(self) -> str:
        """Hex digits, in lower case and without leading zeros."""
        return str(self.certificate["serialNumber"]).lower().lstrip("0")

    @property
    def not_after(self) -> float:
        """Unix seconds."""
        return float(ssl.cert_time_to_seconds(self.certificate["notAfter"]))


class Tls:
    """Raises CertificateError when there is nothing that can be used."""

    def __init__(self, directory: Path, cluster_id: str, name: str) -> None:
        self._directory, self.cluster_id, self._name = directory, cluster_id, name
        self._seen = self._stamp()
        self._checked = time.monotonic()
        self.current = self._load()
        self.reloads = 0
        self.failures = 0

    def refresh(self) -> None:
        """Reads the files again when they changed. Called at every tick; looks at the disk once a
        second."""
        now = time.monotonic()
        if now - self._checked < CHECK_S:
            return
        self._checked = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self.current = self._load()
        except CertificateError as error:
            self.failures += 1
            log.error("new certificates are not used: %s", error)
        else:
            self.reloads += 1
            log.info(
                "certificates were read again",
                extra={"not_after": self.current.certificate["notAfter"]},
            )

    def knows(self, certificate: dict[str, Any] | None, name: str) -> bool:
        """Whether a peer's certificate is that of node `name` of this cluster."""
        return node_uri(self.cluster_id, name) in uris(certificate)

    def administers(self, certificate: dict[str, Any] | None) -> bool:
        """Whether a certificate is the operator's or this node's own. Another cluster, also one
        whose id begins with ours, may have the same authority, and that authority may sign for
        others than nodes and the operator."""
        return not uris(certificate).isdisjoint(
            (operator_uri(self.cluster_id), node_uri(self.cluster_id, self._name))
        )

    def _files(self) -> tuple[Path, Path, Path]:
        stem = self._name if (self._directory / f"{self._name}.crt").exists() else "tls"
        return (
            self._directory / f"{stem}.crt",
            self._directory / f"{stem}.key",
            self._directory / "ca.crt",
        )

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        stamps: list[tuple[int, int, int] | None] = []
        for path in self._files():
            try:
                found = (
                    path.stat()
                )  # through the symbolic links by which Kubernetes switches a mounted Secret
            except OSError:
                stamps.append(None)
            else:
                stamps.append((found.st_mtime_ns, found.st_ino, found.st_size))
        return stamps

    def _load(self) -> Contexts:
        certificate, key, authorities = self._files()
        try:
            require_regular(certificate, key, authorities)
            contexts = [
                self._context(side, certificate, key, authorities)
                for side in (ssl.PROTOCOL_TLS_SERVER,) * 2 + (ssl.PROTOCOL_TLS_CLIENT,)
            ]
            clients, members, dial = contexts
            clients.minimum_version = ssl.TLSVersion.TLSv1_2
            clients.set_ciphers(SUITES_OF_1_2)
            clients.verify_mode = ssl.CERT_NONE
            own = _try(members, dial)
            trust = hashlib.sha256(authorities.read_bytes()).hexdigest()[:16]
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise CertificateError(f"{self._directory}: {error}") from None
        if not self.knows(own, self._name):
            wanted = node_uri(self.cluster_id, self._name)
            raise CertificateError(
                f"{certificate}: its names are {sorted(uris(own))}; {wanted} is missing"
            )
        return Contexts(clients, members, dial, own, trust)

    def _context(
        self, side: int, certificate: Path, key: Path, authorities: Path
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # who it is, is the URI
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if side == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authorities)
        return context


def _try(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """A handshake with ourselves, in memory. The certificate as the other side sees it; raises
    ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
            if side.server_side:
                found = side.getpeercert()
        if not sides:
            return found or {}
    raise ssl.SSLError("the handshake with ourselves came to no end")
