"""What the end of one attempt says about a command. No I/O.

An attempt ends in one of six ways: with a reply; with an error that the cluster remembers of this
sequence; with an error of the node that was asked, which says nothing about an earlier attempt;
certainly not executed (no connection, LOADING); unknown (sent, and no answer); or the cluster does
not remember the producer any more.

Which errors are remembered must be known by their words, as a reply does not say where it is from.
A node can refuse the second attempt for a reason that the first did not meet (another version,
another limit, a right taken away meanwhile). So an error that is not on the list is the node's own.
"""

from __future__ import annotations

from redis import exceptions

from countercluster.errors import ReplyLost

# Answers of a node that did not execute the command and that another node, or the same one later,
# may execute.
_ELSEWHERE = ("TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "ASK", "READONLY", "MISCONF")
# Answers given before a command is searched among the executed ones: they say nothing about
# earlier attempts.
_REMEMBERED = ("increment or decrement would overflow", "applied increment would overflow")
"""What the execution of one command can answer, and the table of sequences keep. (The replies of a
transaction are no errors as a whole.)"""
_REFUSED_HERE = (
    exceptions.AuthenticationError,
    exceptions.NoPermissionError,
    exceptions.OutOfMemoryError,
)


class NotThisTime(Exception):
    """The attempt certainly had no effect."""


class NoAnswer(Exception):
    """The attempt may have had its effect."""


class TooSlow(NoAnswer):
    """No reply came within the time of the attempt."""


class Forgotten(Exception):
    """The cluster does not know this producer any more, or not this far back; it executed nothing
    now."""


class Definite(Exception):
    """Refused by the node that was asked: final for this attempt, and nothing about an earlier
    one."""


class RefusedHere(Definite):
    """The same, of this login or this node: another connection may fare better."""


class Remembered(Exception):
    """The sequence was executed, now or before, and this error was its outcome: nothing was
    changed."""


def not_connected(error: Exception) -> Exception:
    """Nothing was sent."""
    return (
        RefusedHere(str(error))
        if isinstance(error, _REFUSED_HERE)
        else NotThisTime(str(error) or type(error).__name__)
    )


def meaning(error: Exception) -> Exception:
    """Of an error that was raised or answered after the command had been sent."""
    if isinstance(error, _REFUSED_HERE):
        return RefusedHere(str(error))
    if isinstance(error, exceptions.BusyLoadingError):
        return NotThisTime(f"LOADING {error}")
    if isinstance(error, exceptions.TimeoutError):
        return TooSlow(str(error) or "no reply in time")
    if not isinstance(error, exceptions.ResponseError):
        return NoAnswer(str(error) or type(error).__name__)
    code = _code(error)
    if code == "UNKNOWN":
        return NoAnswer(str(error))
    if code == "IDMPEXPIRED":
        return Forgotten(str(error))
    if code in _ELSEWHERE:
        return NotThisTime(f"{code} {error}")
    if str(error).startswith("sequence ") and "was executed" in str(error):
        return ReplyLost(str(error))
    if str(error).removeprefix("ERR ") in _REMEMBERED:
        return Remembered(str(error))
    return Definite(str(error))


def _code(error: exceptions.ResponseError) -> str:
    """The first word of an error reply; redis-py cuts it off the text of those it knows."""
    known = getattr(error, "status_code", None)
    return str(known) if known else str(error).split(" ", 1)[0]
