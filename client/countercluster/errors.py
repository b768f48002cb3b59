"""What a call can raise. Which class it is says what is known about the command, and so what the caller may do next."""

from __future__ import annotations


class CounterError(Exception):
    """The root of everything that this package raises on purpose."""


class NotExecuted(CounterError):
    """The deadline passed and the command was certainly not executed. Calling again later is safe."""


class OutcomeUnknown(CounterError):
    """The deadline passed after the command had been sent: it may or may not have been executed. Calling again may count twice."""


class Refused(CounterError):
    """The cluster answered with a definite error, in its own words; nothing was changed. Calling again meets the same answer."""
