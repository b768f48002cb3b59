"""The categories of commands that users may be allowed (security/acl.py), as Redis has them."""

from __future__ import annotations

from collections.abc import Iterator

from counter_node.resp.session import Command

_OF_GROUP = {
    "counters": ["string"],
    "expiry": ["keyspace"],
    "keyspace": ["keyspace"],
    "transactions": ["transaction"],
    "scripting": ["scripting"],
    "connection": ["connection"],
    "administration": ["admin", "dangerous"],
}
_OF_ADMINISTRATION = ["admin", "dangerous", "slow"]


def categories(command: Command) -> list[str]:
    """Without the @."""
    flags = command.flags.split()
    found = ["write"] if "write" in flags else ["read"] if "readonly" in flags else []
    found = [] if command.group == "scripting" else found
    found += _OF_GROUP.get(command.group, [])
    found += ["dangerous"] if command.dangerous else []
    return [*found, "fast" if "fast" in flags else "slow"]


def of_subcommands(command: Command) -> Iterator[tuple[str, list[str]]]:
    """Each as rules name it (`client|kill`), and its categories."""
    for name, subcommand in command.subcommands.items():
        found = _OF_ADMINISTRATION if subcommand.admin else categories(command)
        yield f"{command.name}|{name.lower()}", found
