"""What a command asks for. Small classes without behaviour; pipeline.py acts on them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure


class Reply:
    """Answered by the connection itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Again:
    """Nothing was done: the command comes again, as it is, when its turn has come. A login waits
    so, while passwords are guessed."""


class NotYet(Exception):
    """Raised by a login that has to wait; becomes `Again`."""


class Read:
    """An operation that changes nothing."""

    __slots__ = ("held", "op")

    def __init__(self, op: Op, held: int = 0) -> None:
        """`held`: bytes that it takes beside the command's own words, as of a transaction."""
        self.op = op
        self.held = held


class Write:
    """An operation that goes through the log."""

    __slots__ = ("held", "op")

    def __init__(self, op: Op, held: int = 0) -> None:
        self.op = op
        self.held = held


class NodeQuestion:
    """Only the node knows: INFO, ROLE, CLIENT LIST, RAFT.*. `name` is in lower case; `args` are all
    words of the command."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: list[bytes]) -> None:
        self.name = name
        self.args = args


class Close:
    """Answer, then end the connection."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


Action = Reply | Read | Write | NodeQuestion | Close
Steps = Generator[None, None, Action]


class Slow:
    """A command of many words, or a long transaction, that is taken apart in slices: to do it at
    once would hold everybody up."""

    __slots__ = ("steps",)

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def step(self) -> Action | None:
        """One slice. None: there is more to do."""
        try:
            next(self.steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except Refusal as refusal:
            return Reply(refusal.reply)
        return None

    def finish(self) -> Action:
        while (action := self.step()) is None:
            pass
        return action


class Refusal(Exception):
    """Raised while a command is taken apart; becomes the error reply."""

    def __init__(self, text: str | Failure) -> None:
        super().__init__(text)
        self.reply = (
            text if isinstance(text, Failure) else Failure(text.encode("latin-1", "replace"))
        )
