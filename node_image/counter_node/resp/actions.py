"""What a command asks for. Small classes without behaviour; net/clients.py acts on them."""

from __future__ import annotations

from typing import Any

from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure


class Reply:
    """Answered by the connection itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Again:
    """Nothing was done: the command comes again, as it is, when its turn has come. A login waits so, while passwords are guessed."""


class NotYet(Exception):
    """Raised by a login that has to wait; becomes `Again`."""


class Read:
    """An operation that changes nothing."""

    __slots__ = ("op",)

    def __init__(self, op: Op) -> None:
        self.op = op


class Write:
    """An operation that goes through the log."""

    __slots__ = ("op",)

    def __init__(self, op: Op) -> None:
        self.op = op


class NodeQuestion:
    """Only the node knows: INFO, ROLE, CLIENT LIST, RAFT.*. `name` is in lower case; `args` are all words of the command."""

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


class Refusal(Exception):
    """Raised while a command is taken apart; becomes the error reply."""

    def __init__(self, text: str | Failure) -> None:
        super().__init__(text)
        self.reply = text if isinstance(text, Failure) else Failure(text.encode("latin-1", "replace"))
