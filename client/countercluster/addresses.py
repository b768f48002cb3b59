"""Where the cluster is: the addresses that were given, and those that its nodes tell of. No I/O."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redis.connection import parse_url
from redis.credentials import CredentialProvider

from countercluster.errors import CounterError

ASK_AGAIN_S = 30.0
MOST_FOUND = 16


class Addresses:
    """Those given come first and stay; what the nodes tell (CLUSTER SHARDS) replaces what they said
    before.

    A found node is reached as the first address given is: with its scheme, its user and its
    password."""

    def __init__(self, urls: str | Sequence[str], options: Mapping[str, Any]) -> None:
        urls = [urls] if isinstance(urls, str) else list(urls)
        if not urls:
            raise CounterError("no address of the cluster was given")
        self.shown = ", ".join(map(shown, urls))
        self._given = [{**parsed(url), **options} for url in urls]
        self.given = len(urls)
        self._found: list[dict[str, Any]] = []
        self._ask_at = 0.0

    def __len__(self) -> int:
        return len(self._given) + len(self._found)

    def at(self, position: int) -> dict[str, Any]:
        """Options of redis-py for a connection; `tls` among them."""
        ring = self._given + self._found
        return dict(ring[position % len(ring)])

    def ask_now(self) -> bool:
        """Whether to ask a node for the others: once in a while, and soon after a connection was
        lost. A caller that gets True asks."""
        now = time.monotonic()
        if now < self._ask_at:
            return False
        self._ask_at = now + ASK_AGAIN_S
        return True

    def lost(self) -> None:
        self._ask_at = min(self._ask_at, time.monotonic() + 1)

    def learn(self, shards: Any) -> None:
        """The reply of CLUSTER SHARDS, in RESP2 (flat lists) or RESP3 (maps). A node of no cluster
        knows nobody, and takes nothing away."""
        nodes = _nodes(shards)
        if not nodes:
            return
        known = {(given["host"], given["port"]) for given in self._given}
        found = []
        for host, port in sorted(nodes - known)[:MOST_FOUND]:
            found.append({**self._given[0], "host": host, "port": port})
        self._found = found


class Binding:
    """A mounted Secret `<name>-client`, or any folder with the keys of the Service Binding
    specification (servicebinding.io/spec/core/1.1.0): `uri`, and where they apply `cache-uri`,
    `password` and `ca.crt`. What is in force is read for every new connection. Raises
    CounterError."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self.url = self._without_password(self._read("uri"))
        self.cache = (
            self._without_password(cache)
            if (cache := self._read("cache-uri", needed=False))
            else None
        )
        self.options: dict[str, Any] = {}
        if (self._folder / "ca.crt").exists():
            self.options["ssl_ca_certs"] = str(self._folder / "ca.crt")
        if (self._folder / "password").exists():
            self.options["credential_provider"] = _FromFolder(self, "default")

    @property
    def cache_options(self) -> dict[str, Any]:
        """The cache knows applications as `reader`."""
        login = (
            {"credential_provider": _FromFolder(self, "reader")}
            if "credential_provider" in self.options
            else {}
        )
        return {**self.options, **login}

    def password(self) -> str:
        return self._read("password")

    def _read(self, key: str, *, needed: bool = True) -> str:
        try:
            return (self._folder / key).read_text().strip()
        except FileNotFoundError:
            if needed:
                raise CounterError(
                    f"{self._folder} has no {key}: is the Secret <name>-client mounted there?"
                ) from None
            return ""
        except OSError as error:
            raise CounterError(f"{self._folder / key}: {error.strerror}") from None

    @staticmethod
    def _without_password(url: str) -> str:
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"


class _FromFolder(CredentialProvider):
    def __init__(self, binding: Binding, user: str) -> None:
        self._binding, self._user = binding, user

    def get_credentials(self) -> tuple[str, str]:
        return self._user, self._binding.password()


def shown(url: str) -> str:
    """Without what must not be seen."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{':***' if ':' in login else ''}{at}{place}"


def parsed(url: str) -> dict[str, Any]:
    """redis-py's options for `redis://[user:password@]host:port[/0]`, or `rediss://…` for TLS.
    Raises CounterError."""
    try:
        options = dict(parse_url(url))
    except ValueError as error:
        raise CounterError(f"address {shown(url)!r}: {error}") from None
    if not url.startswith(("redis://", "rediss://")):
        raise CounterError(f"address {shown(url)!r}: redis:// or rediss:// is expected")
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
