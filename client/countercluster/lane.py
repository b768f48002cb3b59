"""One connection and one producer id: the place where a command is repeated until its fate is known.

1. A write travels as `IDMP <producer> <sequence> <command…>`. The cluster executes a sequence once and answers every repetition with the first
   reply.
2. An attempt ends in one of four ways: a reply; a definite error; certainly not executed (no connection, LOADING); or unknown (sent, no answer).
   After the last two the same sequence is sent again, to the next address, until the deadline.
3. What is raised at the deadline depends on all attempts: one unknown among them makes the outcome unknown.
4. A sequence that may have been used is never used for another command: after an unknown outcome, or an interruption, the lane starts anew as
   another producer at sequence 1.

redis-py's own retries are off: it repeats a plain INCR up to eleven times when replies are lost, and each may count.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.retry import Retry

from countercluster.errors import CounterError, NotExecuted, OutcomeUnknown, Refused

Word = str | bytes | int

PAUSE_FIRST_S = 0.02
PAUSE_MOST_S = 0.3

# Answers of a node that did not execute the command and that another node, or the same one later, may execute.
_ELSEWHERE = ("TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "ASK")
# Answers given before a command is looked up among the executed ones: they say nothing about earlier attempts.
_AT_THE_DOOR = (exceptions.AuthenticationError, exceptions.NoPermissionError, exceptions.OutOfMemoryError)


@dataclass(frozen=True)
class Patience:
    """Seconds: for a call as a whole, for one attempt, for a connection to be made."""

    deadline_s: float = 30.0
    attempt_s: float = 2.5
    connect_s: float = 1.0


class _NotThisTime(Exception):
    """The attempt certainly had no effect."""


class _NoAnswer(Exception):
    """The attempt may have had its effect."""


class _Forgotten(Exception):
    """The cluster does not know this producer any more, or not this far back; it executed nothing now."""


class Wire(Protocol):
    """What is used of redis-py's Connection."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def send_command(self, *words: Word, check_health: bool) -> None: ...
    def read_response(self, *, timeout: float) -> Any: ...


class Lane:
    """Not for two threads at once: `Counters` hands a lane to one call at a time."""

    def __init__(self, urls: Sequence[str], first: int, patience: Patience) -> None:
        self._urls = urls
        self._at = first % len(urls)
        self._patience = patience
        self._connection: Wire | None = None
        self._producer = secrets.token_hex(8)
        self._sequence = 1

    def write(self, command: Sequence[Word]) -> Any:
        """Executes a command exactly once. Raises NotExecuted, OutcomeUnknown or Refused."""
        try:
            reply = self._repeat(command, by_producer=True)
        except NotExecuted:
            raise
        except Refused:
            self._sequence += 1
            raise
        except BaseException:
            self._new_producer()
            raise
        self._sequence += 1
        return reply

    def write_at_most_once(self, command: Sequence[Word]) -> Any:
        """Sends a plain command and never repeats it once it may have had its effect. Raises as `write`."""
        return self._repeat(command, by_producer=False, once=True)

    def read(self, command: Sequence[Word]) -> Any:
        """Asks as often as it takes. Raises NotExecuted or Refused."""
        try:
            return self._repeat(command, by_producer=False)
        except OutcomeUnknown as error:
            raise NotExecuted(str(error)) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _repeat(self, command: Sequence[Word], *, by_producer: bool, once: bool = False) -> Any:
        deadline = time.monotonic() + self._patience.deadline_s
        pause_s = PAUSE_FIRST_S
        unknown = False
        while True:
            words = ("IDMP", self._producer, self._sequence, *command) if by_producer else command
            problem: Exception
            try:
                return self._attempt(words, deadline, unknown)
            except _NotThisTime as error:
                problem = error
            except _NoAnswer as error:
                problem, unknown = error, True
            except _Forgotten as error:
                if unknown:
                    raise OutcomeUnknown(f"{_spoken(command)}: an attempt was not answered, and then: {error}") from error
                problem = error
                self._new_producer()
            now = time.monotonic()
            if now + pause_s >= deadline or (once and unknown):
                raise self._given_up(command, problem, unknown) from problem
            self._elsewhere()
            time.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, PAUSE_MOST_S)

    def _attempt(self, words: Sequence[Word], deadline: float, unknown: bool) -> Any:
        try:
            connection = self._connected()
        except _AT_THE_DOOR as error:
            raise self._refusal(words, error, unknown) from error
        except (exceptions.RedisError, OSError) as error:
            raise _NotThisTime(str(error)) from error
        try:
            connection.send_command(*words, check_health=False)
            return connection.read_response(timeout=max(0.001, min(self._patience.attempt_s, deadline - time.monotonic())))
        except _AT_THE_DOOR as error:
            raise self._refusal(words, error, unknown) from error
        except exceptions.BusyLoadingError as error:
            raise _NotThisTime(f"LOADING {error}") from error
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            raise _NoAnswer(str(error)) from error
        except exceptions.ResponseError as error:
            raise self._meaning(words, error) from error

    def _meaning(self, words: Sequence[Word], error: exceptions.ResponseError) -> Exception:
        code = _code(error)
        if code == "UNKNOWN":
            return _NoAnswer(str(error))
        if code == "IDMPEXPIRED":
            return _Forgotten(str(error))
        if code in _ELSEWHERE:
            return _NotThisTime(f"{code} {error}")
        return Refused(f"{_spoken(words)}: {error}")

    def _refusal(self, words: Sequence[Word], error: Exception, unknown: bool) -> CounterError:
        text = f"{_spoken(words)}: {error}"
        return OutcomeUnknown(f"an attempt was not answered, and then {text}") if unknown else Refused(text)

    def _given_up(self, command: Sequence[Word], problem: Exception, unknown: bool) -> CounterError:
        text = f"{_spoken(command)}: {problem} (deadline {self._patience.deadline_s:g} s, addresses {', '.join(self._urls)})"
        return OutcomeUnknown(text) if unknown else NotExecuted(text)

    def _connected(self) -> Wire:
        if self._connection is None:
            options = address(self._urls[self._at])
            kind = options.pop("connection_class", Connection)
            options |= {"socket_connect_timeout": self._patience.connect_s, "socket_timeout": self._patience.attempt_s}
            self._connection = kind(**options, protocol=2, retry=Retry(NoBackoff(), 0))
        wire: Wire = self._connection
        wire.connect()
        return wire

    def _elsewhere(self) -> None:
        self.close()
        self._at = (self._at + 1) % len(self._urls)

    def _new_producer(self) -> None:
        self._producer, self._sequence = secrets.token_hex(8), 1


def address(url: str) -> dict[str, Any]:
    """redis-py's options for `redis://[user:password@]host:port[/0]` or `rediss://…`. Raises CounterError."""
    try:
        return dict(parse_url(url))
    except ValueError as error:
        raise CounterError(f"address {url!r}: {error}") from error


def _code(error: exceptions.ResponseError) -> str:
    """The first word of an error reply; redis-py cuts it off the text of those it knows."""
    known = getattr(error, "status_code", None)
    return str(known) if known else str(error).split(" ", 1)[0]


def _spoken(words: Sequence[Word]) -> str:
    return " ".join(word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words[:6])
