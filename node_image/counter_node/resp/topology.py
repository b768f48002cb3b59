"""The cluster as its clients are shown it: what a connection knows of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class ClusterNode(NamedTuple):
    id: str  # 40 hexadecimal digits
    host: str
    port: int
    leads: bool
    connected: bool
    offset: int  # of the log


class ClusterView(Protocol):
    """What a node knows of its cluster."""

    def leads(self) -> bool: ...

    def leader(self) -> tuple[str, int] | None:
        """Host and cluster port."""
        ...

    def elsewhere(self) -> tuple[str, int] | None:
        """Of another voter, if no leader is known and this node was the last one."""
        ...

    def me(self) -> str: ...

    def term(self) -> int: ...

    def nodes(self) -> Sequence[ClusterNode]:
        """The voters, the leader first; the last known one, while there is none."""
        ...

    def all_keys(self, most: int) -> Sequence[bytes]: ...
