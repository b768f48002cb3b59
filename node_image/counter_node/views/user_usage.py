"""What users with a limit use of it, as this node knows: for INFO and for the metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Protocol

from counter_node.replica.replica import Replica
from counter_node.users.access import Access


class Users(Protocol):
    """What is read of the node."""

    access: Access
    replica: Replica


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """`None`: no such limit. Counters are those of the cluster, commands and refusals those of this
    node since its start."""

    name: str
    keys: int = 0
    keys_limit: int | None = None
    bytes: int = 0
    bytes_limit: int | None = None
    producer_bytes: int = 0
    commands: int = 0
    commands_limit: int | None = None
    refused_keys: int = 0
    refused_bytes: int = 0
    refused_commands: int = 0

    def numbers(self) -> Iterator[tuple[str, int]]:
        """Those that there are."""
        for field in dataclasses.fields(self)[1:]:
            if (number := getattr(self, field.name)) is not None:
                yield field.name, number


def usage(node: Users) -> list[Use]:
    """By name."""
    pace, users = node.access.pace, node.access.acl.users
    found = {name: Use(name) for name, user in users.items() if user.limits is not None}
    for account, producer_bytes in node.replica.machine.accounts():
        name = account.name.decode(errors="replace")
        found[name] = Use(
            name,
            keys=account.keys,
            keys_limit=account.most_keys,
            bytes=account.size_bytes,
            bytes_limit=account.most_bytes,
            producer_bytes=producer_bytes,
            refused_keys=account.refused["keys"],
            refused_bytes=account.refused["bytes"],
        )
    for name, use in found.items():
        user = users.get(name)
        limits = user.limits if user is not None else None
        found[name] = dataclasses.replace(
            use,
            commands=pace.taken.get(name, 0),
            commands_limit=limits.commands if limits is not None else None,
            refused_commands=pace.refused.get(name, 0),
        )
    return [use for _, use in sorted(found.items())]
