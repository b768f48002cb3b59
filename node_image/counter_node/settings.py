"""The one loader of settings: defaults, then `COUNTER_<NAME>` from the environment, then `--<name>` from the command line.

Every limit of the node is a field here, with its unit last in the name. docs/internals/node-interface.md explains them.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from counter_node import __version__
from counter_node.counters.levels import LEVEL
from counter_node.counters.producers import MOST
from counter_node.counters.state import MAX_KEYS

PREFIX = "COUNTER_"
LARGEST_ENTRY_BYTES = 16 << 20
"""What `max_entry_bytes` may be, and what a leader takes from a node that has another setting."""


class SettingsError(Exception):
    """A setting is missing or makes no sense; the message names it, its value and what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    cluster_id: str
    data_dir: str
    name: str = ""
    bind: str = "0.0.0.0"
    resp_port: int = 6379
    peer_port: int = 7000
    admin_port: int = 7001
    http_port: int = 8080
    cluster_port: int = 0
    advertise_peer: str = ""
    advertise_resp: str = ""
    cache: str = ""
    tick_ms: int = 100
    heartbeat_ticks: int = 1
    election_ticks: int = 10
    lease_reads: bool = False
    snapshot_bytes: int = 64 << 20
    segment_bytes: int = 16 << 20
    max_keys: int = MAX_KEYS
    max_producers: int = MOST
    max_bytes: int = 0
    memory_bytes: int = 0
    max_clients: int = 10_000
    max_pipeline: int = 10_000
    max_pipeline_bytes: int = 8 << 20
    max_gathered: int = 100_000
    max_entry_bytes: int = 8 << 20
    max_reply_bytes: int = 32 << 20
    client_bytes: int = 0
    max_handshakes: int = 250
    handshake_ms: int = 5_000
    tls_dir: str = ""
    acl_file: str = ""
    cache_password_file: str = ""
    cache_ca_file: str = ""
    patience_ms: int = 3_500
    unready_close_s: int = 10
    shutdown_ms: int = 10_000
    log_level: str = "info"
    level: int = LEVEL

    def cache_options(self) -> dict[str, Any]:
        """Password and TLS of the cache, as redis-py takes them. Read anew for each Redis: the password may have changed. The name in the
        certificate is not compared, as each Redis is reached by its address; the authority is the cluster's own."""
        options: dict[str, Any] = {}
        if self.cache_password_file:
            options["password"] = Path(self.cache_password_file).read_text().strip()
        if self.cache_ca_file:
            options |= {"ssl": True, "ssl_ca_certs": self.cache_ca_file, "ssl_check_hostname": False}
        return options


HELP = {
    "cluster_id": "name of the cluster this node belongs to",
    "data_dir": "folder of the node's only state",
    "name": "shown in status; default: the host name",
    "bind": "address of all listeners",
    "resp_port": "clients (Redis protocol)",
    "peer_port": "other nodes",
    "admin_port": "RAFT.* commands",
    "http_port": "health and metrics",
    "cluster_port": "clients in Redis cluster mode, as far from the clients' port on every node; 0: none",
    "advertise_peer": "host:port under which other nodes reach this one",
    "advertise_resp": "host:port shown to clients",
    "cache": "host:port of the Redis cache; a name may have several addresses",
    "tick_ms": "unit of Raft's clock",
    "heartbeat_ticks": "ticks between heartbeats",
    "election_ticks": "ticks without a leader until an election, at least; drawn up to twice that",
    "lease_reads": "answer reads by a lease instead of a round of messages; trusts that members' clocks run equally fast within 10 %",
    "snapshot_bytes": "log bytes after which a snapshot is taken, at most; a small state is written sooner",
    "segment_bytes": "size of one file of the log",
    "max_keys": "counters; the leader's setting is put in force through the log",
    "max_producers": "producers of IDMP remembered at once; the leader's setting is put in force through the log",
    "max_bytes": "what the state may take, counters/weights.py; the leader's setting is put in force through the log; 0: made from memory_bytes",
    "memory_bytes": "memory that this process may use; 0: what its control group says, if it says anything",
    "max_clients": "client connections",
    "max_pipeline": "unanswered commands of one connection before it is not read from any more",
    "max_pipeline_bytes": "the same in bytes, what waits for the reads before it included",
    "max_gathered": "commands waiting for a leader before clients are not read from any more",
    "max_entry_bytes": "one entry of the log; a larger command or transaction is refused, and pipelines are parted; give all nodes the same",
    "max_reply_bytes": "unread replies of one connection before it is cut",
    "client_bytes": "all that clients can make the node hold, strangers an eighth of it; then the heaviest connection is cut; 0: an eighth of "
    "the container's memory limit, at most 256 MiB",
    "max_handshakes": "TLS handshakes under way at once, for each port; then the oldest ends",
    "handshake_ms": "time for a TLS handshake, or for a peer's greeting",
    "tls_dir": "folder with tls.crt, tls.key and ca.crt, or <name>.crt and <name>.key; without it all ports speak plain text",
    "acl_file": "users, in the words of Redis's ACL file; without it everybody may do everything",
    "cache_password_file": "file with the password of the Redis cache",
    "cache_ca_file": "authorities of the Redis cache, which speaks TLS then",
    "patience_ms": "time after the loss of the leader, or of an unanswered command, until LOADING or UNKNOWN; clients give up at 5 s",
    "unready_close_s": "time after which a node that is not ready closes clients' connections and refuses new ones; 0: never",
    "shutdown_ms": "time that SIGTERM may take",
    "log_level": "debug, info, warning or error",
    "level": "behave as an older version that knows only so much (docs/internals/upgrades.md); for tests of rolling upgrades",
}


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError. `--help` prints every setting and exits."""
    parser = argparse.ArgumentParser(prog="counter_node", description="One node of a CounterCluster.")
    parser.add_argument("--version", action="version", version=f"counter_node {__version__}")
    for field in msgspec.structs.fields(Settings):
        default = "required" if field.default is msgspec.NODEFAULT else f"default {field.default!r}"
        text = f"{HELP[field.name]} ({PREFIX}{field.name.upper()}, {default})"
        parser.add_argument("--" + field.name.replace("_", "-"), help=text.replace("%", "%%"))
    given = {k: v for k, v in vars(parser.parse_args(arguments)).items() if v is not None}
    known = {f.name for f in msgspec.structs.fields(Settings)}
    found: dict[str, Any] = {}
    for key, value in environment.items():
        name = key.removeprefix(PREFIX).lower()
        if key.startswith(PREFIX) and name in known:
            found[name] = value
    found.update(given)
    for required in ("cluster_id", "data_dir"):
        if not found.get(required):
            raise SettingsError(f"{PREFIX}{required.upper()} is not set: {HELP[required]}")
    try:
        settings = msgspec.convert(found, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"bad setting: {error}") from None
    return _checked(settings)


_POSITIVE = (
    *("max_keys", "max_producers", "snapshot_bytes", "max_clients", "max_pipeline", "max_pipeline_bytes", "max_gathered"),
    *("max_reply_bytes", "shutdown_ms", "max_handshakes", "handshake_ms"),
)


def _checked(s: Settings) -> Settings:
    def refuse(name: str, value: object, limit: str) -> None:
        raise SettingsError(f"{PREFIX}{name.upper()} is {value!r}; {limit}")

    for port in ("resp_port", "peer_port", "admin_port", "http_port"):
        if not 0 < getattr(s, port) < 65536:
            refuse(port, getattr(s, port), "ports are 1 to 65535")
    if not 0 <= s.cluster_port < 65536:
        refuse("cluster_port", s.cluster_port, "ports are 1 to 65535, and 0 means none")
    if not 5 <= s.tick_ms <= 1_000:
        refuse("tick_ms", s.tick_ms, "5 to 1000")
    if s.heartbeat_ticks < 1:
        refuse("heartbeat_ticks", s.heartbeat_ticks, "at least 1")
    if s.election_ticks < 3 * s.heartbeat_ticks:
        refuse("election_ticks", s.election_ticks, f"at least 3 times heartbeat_ticks ({s.heartbeat_ticks})")
    if not 100 <= s.patience_ms < 4_000:
        refuse("patience_ms", s.patience_ms, "100 to 3999 ms: stock clients give up at 5 s and would repeat the command")
    if not 0 <= s.unready_close_s <= 3_600:
        refuse("unready_close_s", s.unready_close_s, "0 to 3600 s, and 0 means never")
    if s.client_bytes and s.client_bytes < 1 << 20:
        refuse("client_bytes", s.client_bytes, "at least 1 MiB, and 0 means a part of the container's memory")
    if s.segment_bytes < 1 << 20:
        refuse("segment_bytes", s.segment_bytes, "at least 1 MiB")
    if not 64 << 10 <= s.max_entry_bytes <= LARGEST_ENTRY_BYTES:
        refuse("max_entry_bytes", s.max_entry_bytes, f"64 KiB to {LARGEST_ENTRY_BYTES >> 20} MiB")
    for name in ("max_bytes", "memory_bytes"):
        if getattr(s, name) < 0:
            refuse(name, getattr(s, name), "at least 0")
    for positive in _POSITIVE:
        if getattr(s, positive) < 1:
            refuse(positive, getattr(s, positive), "at least 1")
    if not 1 <= s.level <= LEVEL:
        refuse("level", s.level, f"1 to {LEVEL}")
    name = s.name or socket.gethostname()
    host = name if s.bind == "0.0.0.0" else s.bind
    return msgspec.structs.replace(
        s,
        name=name,
        advertise_peer=s.advertise_peer or f"{host}:{s.peer_port}",
        advertise_resp=s.advertise_resp or f"{host}:{s.resp_port}",
    )


def address(text: str) -> tuple[str, int]:
    """Splits `host:port`. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)
