"""TLS contexts from certificates that are on no disk."""

from __future__ import annotations

import os
import ssl

from countercluster_operator.credentials.certificates import Pair


def context_of(pair: Pair, bundle: bytes, *, side: int = ssl.PROTOCOL_TLS_CLIENT) -> ssl.SSLContext:
    """Shows `pair`, and wants a certificate of an authority in `bundle`. Raises ssl.SSLError,
    OSError or ValueError."""
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=bundle.decode())
    with _in_memory(pair.certificate) as certificate, _in_memory(pair.key) as key:
        context.load_cert_chain(certificate.path, key.path, password=_no_password)
    return context


def _no_password() -> str:
    """Else OpenSSL asks at the terminal for that of an encrypted key."""
    raise ValueError("the key is encrypted")


class _in_memory:
    """A file that is on no disk: OpenSSL's Python face reads keys from files only."""

    def __init__(self, content: bytes) -> None:
        self._descriptor = os.memfd_create("pem")
        os.write(self._descriptor, content)
        self.path = f"/proc/self/fd/{self._descriptor}"

    def __enter__(self) -> _in_memory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def shake_hands(pair: Pair, bundle: bytes) -> None:
    """A handshake of a certificate with itself, in memory, as server and as client. Raises
    ssl.SSLError, OSError or ValueError."""
    client, server = (
        context_of(pair, bundle),
        context_of(pair, bundle, side=ssl.PROTOCOL_TLS_SERVER),
    )
    client.check_hostname = False
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
        if not sides:
            return
    raise ssl.SSLError("the handshake came to no end")
