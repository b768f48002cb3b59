"""The one loader of settings: defaults, then `COUNTER_<NAME>` from the environment, then `--<name>`
from the command line. A variable that is empty is not set, as for the operator.

Every limit of the node is a field here, with its unit last in the name.
docs/internals/node-interface.md explains them."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from counter_node import __version__
from counter_node.counters.levels import LEVEL
from counter_node.counters.producers import MOST
from counter_node.counters.state import MAX_KEYS
from counter_node.raft.membership import MAX_ADDRESS_BYTES, MAX_NAME_BYTES

PREFIX = "COUNTER_"
SEGMENT_BYTES = 16 << 20
BESIDE_ENTRY_BYTES = 64 << 10
"""Of a segment that holds one entry: its header, and what else is in that frame."""
LARGEST_ENTRY_BYTES = 16 << 20
"""What `max_entry_bytes` may be, and what a leader takes from a node that has another setting."""


LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


class SettingsError(Exception):
    """A setting is missing or makes no sense; the message names it, its value and what is
    allowed."""


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
    segment_bytes: int = 0
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
        """Password and TLS of the cache, as redis-py takes them. Read again for each Redis: the
        password may have changed. The name in the certificate is not compared, as each Redis is
        reached by its address; the authority is the cluster's own."""
        options: dict[str, Any] = {}
        if self.cache_password_file:
            options["password"] = Path(self.cache_password_file).read_text().strip()
        if self.cache_ca_file:
            options |= {
                "ssl": True,
                "ssl_ca_certs": self.cache_ca_file,
                "ssl_check_hostname": False,
            }
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
    "cluster_port": "clients in Redis cluster mode, as far from the clients' port on every node; "
    "0: none",
    "advertise_peer": "host:port under which other nodes reach this one",
    "advertise_resp": "host:port shown to clients",
    "cache": "host:port of the Redis cache; a name may have several addresses",
    "tick_ms": "unit of Raft's clock",
    "heartbeat_ticks": "ticks between heartbeats",
    "election_ticks": "ticks without a leader until an election, at least; drawn up to twice that",
    "lease_reads": "answer reads by a lease instead of a round of messages; trusts that members' "
    "clocks run equally fast within 10 %",
    "snapshot_bytes": "log bytes after which a snapshot is taken, at most; a small state is "
    "written sooner",
    "segment_bytes": "size of one file of the log; 0: twice max_entry_bytes, at least 16 MiB",
    "max_keys": "counters; the leader's setting is put in force through the log",
    "max_producers": "producers of IDMP remembered at once; the leader's setting is put in force "
    "through the log",
    "max_bytes": "what the state may take, counters/weights.py; the leader's setting is put in "
    "force through the log; 0: made from memory_bytes",
    "memory_bytes": "memory that this process may use; 0: what its control group says, if it "
    "says anything",
    "max_clients": "client connections",
    "max_pipeline": "unanswered commands of one connection before it is not read from any more",
    "max_pipeline_bytes": "the same in bytes, what waits for the reads before it included",
    "max_gathered": "commands waiting for a leader before clients are not read from any more",
    "max_entry_bytes": "one entry of the log; a larger command or transaction is refused, and "
    "pipelines are parted; give all nodes the same",
    "max_reply_bytes": "unread replies of one connection before it is cut",
    "client_bytes": "all that clients can make the node hold, strangers an eighth of it; then "
    "the heaviest connection is cut; 0: an eighth of "
    "the container's memory limit, at most 256 MiB",
    "max_handshakes": "TLS handshakes under way at once, for each port; then the oldest ends",
    "handshake_ms": "time for a TLS handshake, or for a peer's greeting",
    "tls_dir": "folder with tls.crt, tls.key and ca.crt, or <name>.crt and <name>.key; without "
    "it all ports speak plain text",
    "acl_file": "users, in the words of Redis's ACL file; without it everybody may do everything",
    "cache_password_file": "file with the password of the Redis cache",
    "cache_ca_file": "authorities of the Redis cache, which speaks TLS then",
    "patience_ms": "time after the loss of the leader, or of an unanswered command, until "
    "LOADING or UNKNOWN; clients give up at 5 s",
    "unready_close_s": "time after which a node that is not ready closes clients' connections "
    "and refuses new ones; 0: never",
    "shutdown_ms": "time that SIGTERM may take",
    "log_level": "debug, info, warning or error",
    "level": "behave as an older version that knows only so much (docs/internals/upgrades.md); "
    "for tests of rolling upgrades",
}


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError. `--help` prints every setting and exits."""
    parser = argparse.ArgumentParser(
        prog="counter_node", description="One node of a CounterCluster."
    )
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
        if key.startswith(PREFIX) and name in known and value:
            found[name] = value
    found.update(given)
    for required in ("cluster_id", "data_dir"):
        if not found.get(required):
            raise SettingsError(f"{PREFIX}{required.upper()} is not set: {HELP[required]}")
    return _checked(_converted(found))


_PORT = (1, 65_535, "")
_COUNT = (1, 1 << 40, "")
_MEMORY = (0, 1 << 50, "0 means a part of the container's memory")
_RANGES: dict[str, tuple[int, int, str]] = {
    "resp_port": _PORT,
    "peer_port": _PORT,
    "admin_port": _PORT,
    "http_port": _PORT,
    "cluster_port": (0, 65_535, "0 means none"),
    "tick_ms": (5, 1_000, ""),
    "heartbeat_ticks": (1, 10_000, ""),
    "election_ticks": (3, 100_000, ""),
    "snapshot_bytes": (1, 1 << 40, ""),
    "segment_bytes": (0, 1 << 30, "0 means twice max_entry_bytes"),
    "max_keys": _COUNT,
    "max_producers": _COUNT,
    "max_bytes": _MEMORY,
    "memory_bytes": _MEMORY,
    "max_clients": (1, 10_000_000, ""),
    "max_pipeline": (1, 10_000_000, ""),
    "max_pipeline_bytes": (1, 1 << 30, ""),
    "max_gathered": (1, 100_000_000, ""),
    "max_entry_bytes": (64 << 10, LARGEST_ENTRY_BYTES, ""),
    "max_reply_bytes": (1, 1 << 30, ""),
    "client_bytes": _MEMORY,
    "max_handshakes": (1, 1_000_000, ""),
    "handshake_ms": (1, 3_600_000, ""),
    "patience_ms": (100, 3_999, "stock clients give up at 5 s and would repeat the command"),
    "unready_close_s": (0, 3_600, "0 means never"),
    "shutdown_ms": (1, 3_600_000, ""),
    "level": (1, LEVEL, ""),
}
"""The least and the most of every number: a larger one would not fit where it is used, and the node
would end by it, or hang."""
_LONGEST = {
    "cluster_id": 512,
    "name": MAX_NAME_BYTES,
    "advertise_peer": MAX_ADDRESS_BYTES,
    "advertise_resp": MAX_ADDRESS_BYTES,
}
"""In bytes; a longer name could not be a member's."""


def _refuse(name: str, value: object, limit: str) -> NoReturn:
    text = repr(value)
    raise SettingsError(
        f"{PREFIX}{name.upper()} is {text if len(text) <= 80 else text[:80] + '…'}; {limit}"
    )


def _converted(found: dict[str, Any]) -> Settings:
    """Raises SettingsError."""
    for field in msgspec.structs.fields(Settings):
        if field.name in found:
            try:
                msgspec.convert(found[field.name], field.type, strict=False)
            except msgspec.ValidationError:
                needed = "true or false" if field.type is bool else "a whole number is needed"
                _refuse(field.name, found[field.name], needed)
    return msgspec.convert(found, Settings, strict=False)


def _checked(s: Settings) -> Settings:
    """Raises SettingsError."""
    for name, (least, most, why) in _RANGES.items():
        if not least <= (value := getattr(s, name)) <= most:
            _refuse(name, value, f"{least} to {most}" + (f"; {why}" if why else ""))
    _check_ports(s)
    if s.election_ticks < 3 * s.heartbeat_ticks:
        _refuse(
            "election_ticks",
            s.election_ticks,
            f"at least 3 times heartbeat_ticks ({s.heartbeat_ticks})",
        )
    if 0 < s.client_bytes < 1 << 20:
        _refuse(
            "client_bytes",
            s.client_bytes,
            "at least 1 MiB, and 0 means a part of the container's memory",
        )
    if not s.segment_bytes:
        segment_bytes = max(SEGMENT_BYTES, 2 * s.max_entry_bytes)
        s = msgspec.structs.replace(s, segment_bytes=segment_bytes)
    if s.segment_bytes < s.max_entry_bytes + BESIDE_ENTRY_BYTES:
        _refuse(
            "segment_bytes",
            s.segment_bytes,
            f"at least {BESIDE_ENTRY_BYTES} more than max_entry_bytes ({s.max_entry_bytes}): on a"
            f" full disk a deletion of that size would fit nowhere",
        )
    if s.log_level.lower() not in LOG_LEVELS:
        _refuse("log_level", s.log_level, f"one of {', '.join(LOG_LEVELS)}")
    for field in msgspec.structs.fields(Settings):
        value = getattr(s, field.name)
        if isinstance(value, str) and not value.isprintable():
            _refuse(field.name, value, "no control characters, and only what is UTF-8")
    name = s.name or socket.gethostname()
    host = name if s.bind == "0.0.0.0" else s.bind
    s = msgspec.structs.replace(
        s,
        name=name,
        advertise_peer=s.advertise_peer or f"{host}:{s.peer_port}",
        advertise_resp=s.advertise_resp or f"{host}:{s.resp_port}",
    )
    for field_name, longest in _LONGEST.items():
        if (size := len(getattr(s, field_name).encode())) > longest:
            _refuse(field_name, getattr(s, field_name), f"{size} bytes; at most {longest}")
    for field_name in ("advertise_peer", "advertise_resp", "cache"):
        if value := getattr(s, field_name):
            _require_address(field_name, value)
    return s


def _check_ports(s: Settings) -> None:
    """Raises SettingsError when two are the same."""
    taken: dict[int, str] = {}
    for port in ("resp_port", "peer_port", "admin_port", "http_port", "cluster_port"):
        if (number := getattr(s, port)) and (other := taken.setdefault(number, port)) != port:
            _refuse(port, number, f"{PREFIX}{other.upper()} is the same")


def _require_address(name: str, value: str) -> None:
    """Raises SettingsError."""
    try:
        address(value)
    except SettingsError:
        _refuse(name, value, "host:port is needed, with a port of 1 to 65535")


def address(text: str) -> tuple[str, int]:
    """Splits `host:port`. Raises SettingsError."""
    host, _, port = text.rpartition(":")
    if not (host and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65_536):
        raise SettingsError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)
