"""What the end of one attempt says about a command. No I/O.

An attempt ends in one of five ways: with a reply; with a definite error; certainly not executed (no connection, LOADING); unknown (sent, and no
answer); or the cluster does not remember the producer any more.
"""

from __future__ import annotations

from redis import exceptions

from countercluster.errors import ReplyLost

# Answers of a node that did not execute the command and that another node, or the same one later, may execute.
_ELSEWHERE = ("TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "ASK", "READONLY", "MISCONF")
# Answers given before a command is looked up among the executed ones: they say nothing about earlier attempts.
_AT_THE_DOOR = (exceptions.AuthenticationError, exceptions.NoPermissionError, exceptions.OutOfMemoryError)


class NotThisTime(Exception):
    """The attempt certainly had no effect."""


class NoAnswer(Exception):
    """The attempt may have had its effect."""


class Forgotten(Exception):
    """The cluster does not know this producer any more, or not this far back; it executed nothing now."""


class AtTheDoor(Exception):
    """Refused without a look at what was executed: final for this attempt, and nothing about an earlier one."""


class Definite(Exception):
    """The command was refused; for one that is repeated, the first attempt was refused."""


def not_connected(error: Exception) -> Exception:
    """Nothing was sent."""
    return AtTheDoor(str(error)) if isinstance(error, _AT_THE_DOOR) else NotThisTime(str(error) or type(error).__name__)


def meaning(error: Exception) -> Exception:
    """Of an error that was raised or answered after the command had been sent."""
    if isinstance(error, _AT_THE_DOOR):
        return AtTheDoor(str(error))
    if isinstance(error, exceptions.BusyLoadingError):
        return NotThisTime(f"LOADING {error}")
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
    return Definite(str(error))


def _code(error: exceptions.ResponseError) -> str:
    """The first word of an error reply; redis-py cuts it off the text of those it knows."""
    known = getattr(error, "status_code", None)
    return str(known) if known else str(error).split(" ", 1)[0]
