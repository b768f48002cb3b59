"""Replies of one connection in the order of its commands, and their bytes.

Each command, or each bundle of them, has a place from when it begins. What is answered at the head
becomes bytes; what is answered behind it waits.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from counter_node.resp.cluster import in_cluster_mode
from counter_node.resp.encode import are_long, encode_many, in_pieces
from counter_node.resp.session import Session

ENCODE_REPLIES: Final = 32
"""Of several places, made into bytes together."""
Owner = TypeVar("Owner")


@dataclasses.dataclass(slots=True)
class Shared:
    """What the connections of a node have in common."""

    max_commands: int
    max_bytes: int
    failed: Callable[[Sequence[Any]], None]
    """Counts the errors among replies."""
    refused: Callable[[str], None]
    """Counts a refusal (security/refusals.py)."""
    commands: int = 0
    """Begun so far."""


class PendingReplies(Generic[Owner]):
    """The place of some replies: of one command, or of a bundle that went to the gateway whole."""

    __slots__ = ("born_s", "owner", "replies", "size", "write")

    def __init__(self, owner: Owner, write: bool) -> None:
        self.owner = owner
        self.size = 0  # bytes of the commands, about
        self.write = write
        self.born_s = 0.0  # when it was submitted, by the clock of whoever did
        self.replies: list[Any] | None = None


class OrderedReplies(Generic[Owner]):
    def __init__(self, session: Session, shared: Shared, owner: Owner) -> None:
        self.owner = owner
        """Of the places."""
        self.unanswered = 0
        """Commands."""
        self.bytes = 0
        """Of these commands, about."""
        self._session, self._shared = session, shared
        self._places: deque[PendingReplies[Owner]] = deque()
        self._encoding: tuple[Iterator[bytes], int] | None = None  # of so many commands

    def add(self, count: int, *, write: bool) -> PendingReplies[Owner]:
        """The next place, for so many replies."""
        place = PendingReplies(self.owner, write)
        self._places.append(place)
        self.unanswered += count
        return place

    def weigh(self, size: int) -> None:
        """The newest place stands for so many bytes more."""
        if self._places:
            self._places[-1].size += size
            self.bytes += size

    @property
    def ready(self) -> bool:
        """There are bytes for the wire."""
        return self._encoding is not None or bool(
            self._places and self._places[0].replies is not None
        )

    @property
    def in_pieces(self) -> bool:
        """A long answer is written in part."""
        return self._encoding is not None

    @property
    def all_written(self) -> bool:
        return not self._places and self._encoding is None

    def next_bytes(self) -> bytes:
        """Of the answered places at the head: all of one, or of several small ones; of a long one a
        piece."""
        if self._encoding is not None:
            pieces, count = self._encoding
            if (piece := next(pieces, None)) is not None:
                return piece
            self._encoding = None
            self.unanswered -= count
            return b""
        places, replies = self._places, list[Any]()
        while (
            places
            and (found := places[0].replies) is not None
            and (not replies or len(replies) + len(found) <= ENCODE_REPLIES)
        ):
            self.bytes -= places.popleft().size
            replies += found
        if self._session.cluster is not None:
            replies = [in_cluster_mode(reply) for reply in replies]
        if are_long(replies):
            self._shared.failed(replies)
            # Unanswered until it is written: the lane must not overtake it.
            self._encoding = in_pieces(replies, self._session.protocol), len(replies)
            return b""
        self.unanswered -= len(replies)
        return self.encoded(replies)

    def encoded(self, replies: list[Any]) -> bytes:
        """In the version of the protocol that the connection speaks. Errors are counted."""
        self._shared.failed(replies)
        return encode_many(replies, self._session.protocol)

    def clear(self) -> None:
        """Nobody is there to read them."""
        self._places.clear()
        self._encoding = None
