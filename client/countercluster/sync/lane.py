# Made from ../aio/lane.py by generators/unasync.py: change it there.
"""One connection and one producer id: the place where a command is repeated until its fate is
known.

1. A write travels as `IDMP <producer> <sequence> <command…>`, a batch as `MULTI … IDMP <producer>
   <sequence> EXEC`. The cluster executes a sequence once and answers every repetition with the
   first reply.
2. After an attempt that had no effect, or whose effect is not known (attempts.py), the same
   sequence is sent again, to the next address, until the deadline.
3. What is raised at the deadline depends on all attempts: one unknown among them makes the outcome
   unknown.
4. A sequence that may have been used is never used for another command. After an unknown outcome,
   or an interruption such as a cancelled call, the lane goes on with the next sequence of the same
   producer: the cluster remembers sequences one by one, so one that arrives late counts once at
   most, whatever came after it. A producer for each interruption would fill the cluster's table of
   producers.
5. A connection with an answer still to come is never used again.
6. An attempt whose reply did not come in time makes the next one twice as long, as far as the
   deadline allows: where every reply is slow, a call ends with its reply. The lane remembers this
   until replies are fast again.

redis-py's own retries are off: it repeats a plain INCR up to eleven times when replies are lost,
and each may count."""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.connection import Connection, SSLConnection
from redis.retry import Retry
from redis.backoff import NoBackoff

from countercluster import attempts
from countercluster.addresses import Addresses
from countercluster.sync.waiting import BOUNDED, drop, limit, receive, sleep
from countercluster.commands import Command, Word, spoken
from countercluster.errors import NotExecuted, OutcomeUnknown, Refused

PAUSE_FIRST_S = 0.02
PAUSE_MOST_S = 0.3
SLOWEST = 1 << 10


@dataclass(frozen=True)
class Patience:
    """Seconds: for a call as a whole, for one attempt, for a connection to be made. Raises
    ValueError for what is no time: a deadline that is not a number never comes."""

    deadline_s: float
    attempt_s: float
    connect_s: float

    def __post_init__(self) -> None:
        for name in ("deadline_s", "attempt_s", "connect_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; more than 0 seconds")


class Lane:
    """Not for two calls at once: `Counters` hands a lane to one call at a time."""

    def __init__(self, addresses: Addresses, discover: bool) -> None:
        self._addresses = addresses
        self._discover = discover
        self._at = random.randrange(addresses.given)
        self._connection: Connection | None = None
        self._producer = secrets.token_hex(8)
        self._sequence = 1
        self._sent = False  # this sequence may have reached a node
        self._slowness = 1  # attempts last so many times `attempt_s`

    def write(self, command: Command[Any], patience: Patience, *before: Command[Any]) -> Any:
        """The reply of a command, executed exactly once; `before`: the other commands of its
        transaction.

        Raises NotExecuted, OutcomeUnknown, ReplyLost or Refused.
        """
        self._sent = False
        try:
            return self._repeat(command, patience, before, stamped=True)
        except NotExecuted:
            self._sent = False  # no attempt had an effect, so the sequence is still free
            raise
        finally:
            if self._sent:
                self._sequence += 1

    def write_at_most_once(
        self, command: Command[Any], patience: Patience, *before: Command[Any]
    ) -> Any:
        """Sends a plain command and never repeats it once it may have had its effect. Raises as
        `write`."""
        return self._repeat(command, patience, before, once=True)

    def read(self, command: Command[Any], patience: Patience) -> Any:
        """Asks as often as it takes. Raises NotExecuted or Refused."""
        try:
            return self._repeat(command, patience)
        except OutcomeUnknown as error:
            raise NotExecuted(str(error)) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            drop(connection)

    def _repeat(
        self,
        command: Command[Any],
        patience: Patience,
        before: tuple[Command[Any], ...] = (),
        *,
        stamped: bool = False,
        once: bool = False,
    ) -> Any:
        deadline = time.monotonic() + patience.deadline_s
        pause_s = PAUSE_FIRST_S
        unknown = False
        name = spoken(before[0].words) + " …" if before else spoken(command.words)
        while True:
            try:
                return self._attempt(
                    self._batch(command, before, stamped), patience, deadline
                )
            except attempts.NotThisTime as error:
                problem: Exception = error
            except attempts.NoAnswer as error:
                problem, unknown = error, True
                if isinstance(error, attempts.TooSlow):
                    self._slowness = min(2 * self._slowness, SLOWEST)
            except attempts.Forgotten as error:
                if unknown:
                    raise OutcomeUnknown(
                        f"{name}: an attempt was not answered, and then: {error}"
                    ) from error
                problem = error
                self._new_producer()
            except (attempts.Remembered, attempts.Definite) as error:
                raise _final(name, error, unknown) from error
            if time.monotonic() + pause_s >= deadline or (once and unknown):
                text = (
                    f"{name}: {problem} (deadline {patience.deadline_s:g} s, addresses "
                    f"{self._addresses.shown})"
                )
                raise (OutcomeUnknown(text) if unknown else NotExecuted(text)) from problem
            self._at += 1
            sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, PAUSE_MOST_S)

    def _batch(
        self, command: Command[Any], before: tuple[Command[Any], ...], stamped: bool
    ) -> list[tuple[Word, ...]]:
        """What one attempt sends; `stamped`: with the producer and the sequence of now."""
        words: tuple[Word, ...] = command.words
        if stamped:
            words = ("IDMP", self._producer, self._sequence, *words)
        return [("MULTI",), *(other.words for other in before), words] if before else [words]

    def _attempt(
        self, batch: list[tuple[Word, ...]], patience: Patience, deadline: float
    ) -> Any:
        """The last reply of the batch. Raises what attempts.py has, or ReplyLost."""
        settled = False
        try:
            connection = self._connected(patience, deadline)
            self._sent = True
            try:
                begun = time.monotonic()
                with limit(max(0.001, min(patience.attempt_s, deadline - begun))):
                    connection.send_packed_command(
                        connection.pack_commands(batch), check_health=False
                    )
                replies = [self._reply(connection, patience, deadline) for _ in batch]
                if time.monotonic() - begun < patience.attempt_s / 2:
                    self._slowness = 1
            except (exceptions.RedisError, OSError) as error:
                raise attempts.meaning(error) from error
            settled = True
        finally:
            if not settled:
                self._addresses.lost()
                self.close()
        if isinstance(replies[-1], Exception):
            # A transaction that was not accepted says why at the command that was not.
            first = next(reply for reply in replies if isinstance(reply, Exception))
            found = attempts.meaning(first)
            if not isinstance(found, attempts.Definite) or isinstance(found, attempts.RefusedHere):
                self.close()
            raise found from first
        return replies[-1]

    def _reply(self, connection: Connection, patience: Patience, deadline: float) -> Any:
        """A reply, or the error that was answered. What redis-py raises as a lost connection is
        raised."""
        left_s = max(0.001, min(patience.attempt_s * self._slowness, deadline - time.monotonic()))
        try:
            return receive(connection, left_s)
        except exceptions.ResponseError as error:
            return error

    def _connected(self, patience: Patience, deadline: float) -> Connection:
        left_s = max(0.001, deadline - time.monotonic())
        connect_s, answer_s = min(patience.connect_s, left_s), min(patience.attempt_s, left_s)
        try:
            if self._connection is None:
                options = self._addresses.at(self._at)
                kind = SSLConnection if options.pop("tls") else Connection
                options |= {
                    "socket_connect_timeout": connect_s,
                    "socket_timeout": answer_s if BOUNDED else None,
                }
                self._connection = kind(
                    **{"protocol": 2, **options, "retry": Retry(NoBackoff(), 0)}
                )
                with limit(min(connect_s + answer_s, left_s)):
                    self._connection.connect()
            if self._discover and self._addresses.ask_now():
                with limit(answer_s):
                    self._ask_for_others(self._connection)
        except (exceptions.RedisError, OSError) as error:
            raise attempts.not_connected(error) from error
        return self._connection

    def _ask_for_others(self, connection: Connection) -> None:
        """Nodes that do not tell of each other are no error: there are the addresses that were
        given."""
        connection.send_command("CLUSTER", "SHARDS", check_health=False)
        with contextlib.suppress(exceptions.ResponseError):
            self._addresses.learn(connection.read_response())

    def _new_producer(self) -> None:
        self._producer, self._sequence, self._sent = secrets.token_hex(8), 1, False


def _final(name: str, error: Exception, unknown: bool) -> Refused | OutcomeUnknown:
    """What a call raises when no further attempt can change its outcome; `unknown`: an earlier
    attempt was not answered."""
    text = f"{name}: {error}"
    if unknown and not isinstance(error, attempts.Remembered):
        return OutcomeUnknown(f"an attempt was not answered, and then {text}")
    return Refused(text)
