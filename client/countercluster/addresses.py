"""Where the cluster is: the addresses that were given, and those that its nodes tell of. No I/O."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from redis.connection import parse_url

from countercluster.errors import CounterError

ASK_AGAIN_S = 30.0
MOST_FOUND = 16


class Addresses:
    """Those given come first and stay; what the nodes tell (CLUSTER SHARDS) replaces what they told before.

    A found node is reached as the first address given is: with its scheme, its user and its password.
    """

    def __init__(self, urls: str | Sequence[str], options: Mapping[str, Any]) -> None:
        self.urls = [urls] if isinstance(urls, str) else list(urls)
        if not self.urls:
            raise CounterError("no address of the cluster was given")
        self._given = [{**parsed(url), **options} for url in self.urls]
        self._found: list[dict[str, Any]] = []
        self._ask_at = 0.0

    def __len__(self) -> int:
        return len(self._given) + len(self._found)

    def at(self, position: int) -> dict[str, Any]:
        """Options of redis-py for a connection; `tls` among them."""
        ring = self._given + self._found
        return dict(ring[position % len(ring)])

    def ask_now(self) -> bool:
        """Whether to ask a node for the others: once in a while, and soon after a connection was lost. Who is told True asks."""
        now = time.monotonic()
        if now < self._ask_at:
            return False
        self._ask_at = now + ASK_AGAIN_S
        return True

    def lost(self) -> None:
        self._ask_at = min(self._ask_at, time.monotonic() + 1)

    def learn(self, shards: Any) -> None:
        """The reply of CLUSTER SHARDS, in RESP2 (flat lists) or RESP3 (maps)."""
        known = {(given["host"], given["port"]) for given in self._given}
        found = []
        for host, port in sorted(_nodes(shards) - known)[:MOST_FOUND]:
            found.append({**self._given[0], "host": host, "port": port})
        self._found = found


def parsed(url: str) -> dict[str, Any]:
    """redis-py's options for `redis://[user:password@]host:port[/0]`, or `rediss://…` for TLS. Raises CounterError."""
    try:
        options = dict(parse_url(url))
    except ValueError as error:
        raise CounterError(f"address {url!r}: {error}") from error
    if not url.startswith(("redis://", "rediss://")):
        raise CounterError(f"address {url!r}: redis:// or rediss:// is expected")
    options.pop("connection_class", None)
    return {"host": "localhost", "port": 6379, **options, "tls": url.startswith("rediss://")}


def _nodes(shards: Any) -> set[tuple[str, int]]:
    found = set()
    for shard in shards:
        for node in _mapping(shard).get(b"nodes", []):
            about = _mapping(node)
            host = about.get(b"endpoint") or about.get(b"ip") or b""
            port = about.get(b"port") or about.get(b"tls-port")
            if port and host not in (b"", b"?"):
                found.add((bytes(host).decode(), int(port)))
    return found


def _mapping(reply: Any) -> dict[bytes, Any]:
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
