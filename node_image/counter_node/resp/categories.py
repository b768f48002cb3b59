"""The categories of commands that users may be allowed (security/acl.py), as Redis has them."""

from __future__ import annotations

from counter_node.resp.session import Command

ADMIN_MEMBERS = frozenset({
    "acl|getuser", "acl|list", "acl|users", "acl|setuser", "acl|deluser", "acl|load", "acl|save",
    "client|kill", "client|list",
    "config|get", "config|set", "config|resetstat", "config|rewrite",
})  # fmt: skip
_DANGEROUS = frozenset({"flushall", "flushdb", "keys", "info", "role"}) | ADMIN_MEMBERS
"""As Redis has them."""


def categories(command: Command) -> list[str]:
    """Without the @."""
    flags = command.flags.split()
    found = ["write"] if "write" in flags else ["read"] if "readonly" in flags else []
    found += {"counters": ["string"], "expiry": ["keyspace"], "keyspace": ["keyspace"],
    "transactions": ["transaction"],
              "connection": ["connection"], "administration": ["admin",
              "dangerous"]}.get(command.group, [])  # fmt: skip
    found += ["dangerous"] if command.name in _DANGEROUS else []
    return [*found, "fast" if "fast" in flags else "slow"]
