"""What was refused, counted by reason: the one place where abuse becomes a number
(`counter_refusals_total{reason=…}`)."""

from __future__ import annotations

from typing import Final

REASONS: Final = (
    "tls_handshake",  # garbage, no common version, no certificate or one of a stranger
    "tls_handshake_slow",  # not done in time
    "tls_handshake_crowded",  # the oldest of too many at once
    "peer_identity",  # a peer whose certificate does not carry the name it gives
    "peer_too_old",  # a peer whose version knows less than the cluster's level
    "peer_frame",  # truncated, replayed into the wrong place, over the limit, or no frame at all
    "peer_silent",  # no greeting in time
    "peer_crowded",  # the oldest of too many that have not greeted, or of too many of one member
    "client_protocol",  # no request of the Redis protocol, or one over the limits
    "client_silent",  # cut to make room: it had not sent one command, or had not logged in
    "client_limit",  # max_clients
    "admin_limit",  # the oldest of too many connections to the admin port
    "http_crowded",  # the oldest of too many connections to the HTTP port
    # the heaviest, when clients held too much; or too much of an unfinished command before the
    # login
    "client_memory",
    "client_unread",  # did not read its replies
    "unready",  # let go, as this node is not ready for long
    "auth_failed",  # a wrong password
    "auth_throttled",  # too many wrong passwords from that address
    "auth_missing",  # a command before AUTH
    "user_limit",  # more commands a second than the user may give
    "permission",  # a command or a key that the user may not use
)


class Refusals:
    """Counts from the start of the process."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(REASONS, 0)

    def add(self, reason: str) -> None:
        self.counts[reason] += 1
