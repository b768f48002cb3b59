"""What a call can raise. Which class it is says what is known about the command, and so what the
caller may do next."""

from __future__ import annotations


class CounterError(Exception):
    """The root of everything that this package raises on purpose."""


class NotExecuted(CounterError):
    """The deadline passed and the command was certainly not executed. Calling again later is
    safe."""


class OutcomeUnknown(CounterError):
    """The deadline passed after the command had been sent: it may or may not have been executed.
    Calling again may count twice."""


class ReplyLost(CounterError):
    """Executed, once; but its answer did not arrive and was too large for the cluster to keep.
    Calling again would count twice; read the values."""


class Refused(CounterError):
    """The cluster answered with a definite error, in its own words; nothing was changed. Calling
    again meets the same answer."""


class LimitReached(Refused):
    """The bound of the call would have been passed, so nothing was changed. `value` is what the
    counter had at that moment."""

    def __init__(self, key: str, value: int, by: int) -> None:
        super().__init__(f"{key} is {value}; {by:+d} would pass the bound")
        self.key = key
        self.value = value
        self.by = by
