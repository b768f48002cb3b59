"""How the descriptors of the process are shared out, so that no listener takes those of another, of
the log, or of the links between members.

Each listener has a bound of its own, and the bounds together, with the reserve, stay below the
limit of the process. Where the limit is low, clients and pages get less; files, members and the
operator do not."""

from __future__ import annotations

import resource
from typing import Final, NamedTuple

FILES: Final = 96
"""The log, snapshots, certificates, the loop itself, and what is accepted only to be ended."""
PEERS: Final = 128
"""Members' connections in both directions, and strangers that have not greeted."""
ADMIN: Final = 64
HTTP: Final = 256
LISTENERS: Final = 5
LEAST_CLIENTS: Final = 32


class Shares(NamedTuple):
    clients: int
    http: int
    handshakes: int  # of each listener


class TooFewDescriptors(Exception):
    """The limit of the process leaves too little for clients; the message says how many are
    needed."""


def shares(max_clients: int, max_handshakes: int, limit: int | None = None) -> Shares:
    """`limit`: of descriptors; None: that of this process. Raises TooFewDescriptors."""
    if limit is None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = limit - FILES - PEERS - ADMIN
    http = min(HTTP, max(8, left // 8))
    handshakes = min(max_handshakes, max(4, left // (4 * LISTENERS)))
    clients = min(max_clients, left - http - LISTENERS * handshakes)
    if clients < min(LEAST_CLIENTS, max_clients):
        raise TooFewDescriptors(
            f"the limit of open files is {limit}; at least 512 are needed (ulimit -n)"
        )
    return Shares(clients, http, handshakes)
