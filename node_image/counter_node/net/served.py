"""What client connections need of the node that they are served by."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from counter_node.net.unready import Judged
from counter_node.security.refusals import Refusals
from counter_node.security.tls import Tls
from counter_node.views.cluster_view import Shown
from counter_node.views.info import Asked


class Durations(Protocol):
    def add(self, seconds: float, commands: int = 1) -> None: ...


class CommandMetrics(Protocol):
    @property
    def writes(self) -> Durations: ...

    @property
    def reads(self) -> Durations: ...

    def failed(self, replies: Sequence[Any]) -> None: ...


class Administration(Protocol):
    def execute(self, words: list[bytes]) -> Awaitable[Any]: ...


class Served(Asked, Judged, Shown, Protocol):
    memory_bytes: int
    tls: Tls | None
    refusals: Refusals

    @property
    def metrics(self) -> CommandMetrics: ...

    @property
    def admin(self) -> Administration: ...

    def wake(self) -> None:
        """A turn is due."""

    def turn_now(self) -> None: ...

    def spawn(self, work: Any) -> None: ...
