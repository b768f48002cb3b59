"""Clients' commands in, numbered batches out, replies from this node's own apply. Pure: no socket,
no clock.

A gateway is the part of a node that its clients talk to; every node has one, whether it leads or
not.

1. It registers once through the log. The index of that entry is its session, which nobody else ever
   gets.
2. All writes gathered while a batch is in flight become the next batch: one batch in flight,
   numbered 1, 2, 3, …. The state machine executes number n only after n-1 and only once, so the
   order of each connection survives a change of leader, and repeating is always safe.
3. The batch is sent again, as it is, whenever the leader, the term or the link to it changed, and
   after `retry_ticks` of silence; each further time of the same silence takes twice as long, up to
   `SLOWEST_RETRY` times. (A leader drops what is in its log already.)
4. The replies come from applying the batch here. Reads that must see the writes before them on
   their connection travel *beside* their batch: they are not in the log, and are computed between
   its writes when it is applied.
5. Other reads are gathered too: one ReadIndex round answers all of them.
6. What has not been sent to any leader within `patience_ticks` is answered LOADING, which is
   certain: it was not and will not be executed. What was sent and is still unanswered then gets
   UNKNOWN. The batch itself stays in flight until its fate is known, so that later ones keep their
   order. One that is nowhere is taken back: it was never sent, since this node leads and could not
   append it or has no room for it, or the one leader that got it found no room. Its number goes to
   the next.
7. Patience is for the loss of a leader, not for each command. Once a leader was missing for
   `patience_ticks`, or something sent was given up and is still unanswered, further commands are
   answered LOADING at once, until there is a leader, or what was sent is answered.
8. A batch is at most `max_batch` commands, `max_batch_bytes` and `MOST_NAMES` long. Where a bundle
   is more it is parted between commands, and its replies are put together again; a single command,
   or transaction, is never parted. One of more than `max_entry_bytes` is refused: it could not be
   sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from counter_node.counters import batches
from counter_node.counters.batches import Outcome, OutcomeKind
from counter_node.counters.levels import TIMES_LEVEL
from counter_node.counters.ops import CONSTANT
from counter_node.counters.repeats import together
from counter_node.counters.replies import Failure, pack
from counter_node.raft.types import NONE
from counter_node.replica.bundles import (
    Batch,
    Bundle,
    Gathered,
    Op,
    Reads,
    Route,
    Token,
    each_with_its_own,
    not_too_heavy,
)
from counter_node.replica.read_rounds import ReadRounds
from counter_node.replica.refusals import (
    LOADING,
    NOT_EVEN_DELETIONS,
    RESTORED,
    TOO_LARGE,
    UNKNOWN,
    Refusal,
)

SLOWEST_RETRY = 8


class Gateway:
    def __init__(
        self,
        nonce: int,
        *,
        is_write: Callable[[Op], bool],
        tick_ms: int,
        patience_ticks: int,
        retry_ticks: int,
        max_batch: int = 10_000,
        max_batch_bytes: int = 4 << 20,
        max_entry_bytes: int = 8 << 20,
    ) -> None:
        """`nonce`: random, fresh for each start of the process; it makes the registration and the
        read ids unmistakable."""
        self.level = (
            1  # of the cluster, as far as this node has heard; set by who owns the state machine
        )
        self.session: int | None = None
        self.replies: list[
            tuple[Token, list[Any]]
        ] = []  # as many for each token as it gave commands
        self.writes = Gathered()
        self.reads = ReadRounds(nonce, retry_ticks)
        self._nonce = nonce
        self._is_write = is_write
        self._patience = patience_ticks
        self._retry = retry_ticks
        self._max_batch = max_batch
        self._max_body_bytes = max_entry_bytes - batches.TIME_BYTES
        self._max_batch_bytes = min(max_batch_bytes, self._max_body_bytes)
        self._loading = Failure(LOADING % (patience_ticks * tick_ms))
        self._unknown = Failure(UNKNOWN % (patience_ticks * tick_ms))
        self._tick = 0
        self._number = 0
        self._mixed = False  # there may be reads among the gathered writes
        self._opening: tuple[Route, int, int] | None = (
            None  # sent to whom, when; times `retry_ticks` until it is sent again
        )
        self._in_flight: Batch | None = None
        self.last_id = nonce
        """Of what `proposal` gave last: never that of anything else."""
        self._leaderless = 0  # ticks

    @property
    def registered(self) -> bool:
        return self.session is not None

    @property
    def wants_nothing(self) -> bool:
        """Registered, and nobody wants anything: there is nothing to hand to a leader."""
        return not (
            self.session is None
            or self._in_flight is not None
            or self.writes.ops
            or self.reads.wanted
        )

    @property
    def nobody_waits(self) -> bool:
        """Nothing gathered and nothing unanswered."""
        unanswered = self._in_flight is not None and not self._in_flight.answered
        return not (unanswered or self.writes.ops) and self.reads.nobody_waits

    @property
    def gathered(self) -> int:
        """Commands that wait to be sent."""
        return len(self.writes) + len(self.reads.gathered)

    @property
    def leader_is_lost(self) -> bool:
        """No leader was known for the whole patience."""
        return self._leaderless >= self._patience

    @property
    def one_command_waits(self) -> bool:
        """One command is all that clients wait for."""
        batch = self._in_flight
        return batch is not None and len(batch.ops) == 1 and not self.writes.ops

    @property
    def can_send(self) -> bool:
        """Something is gathered, and nothing is in flight that it would have to wait for."""
        return bool(self.writes.ops and self._in_flight is None) or self.reads.can_send

    # --- from clients -----------------------------------------------------------------------------

    def write(self, token: Token, ops: list[Op], *, mixed: bool = False) -> None:
        """Writes. `mixed`: reads are among them, which must come after writes of the same
        connection that are still unanswered."""
        if self.leader_is_lost or (self._in_flight is not None and self._in_flight.answered):
            self.replies.append((token, [self._loading] * len(ops)))
            return
        self.writes.add(Bundle(token, len(ops), self._tick), ops)
        self._mixed = self._mixed or mixed

    def read(self, token: Token, ops: list[Op]) -> None:
        if self.leader_is_lost or self.reads.given_up:
            self.replies.append((token, [self._loading] * len(ops)))
            return
        self.reads.gathered.add(Bundle(token, len(ops), self._tick), ops)

    # --- to the leader ----------------------------------------------------------------------------

    def proposal(self, route: Route) -> bytes | None:
        """The body to hand to the leader of `route` now, if any, as `last_id`. Call `not_sent` when
        it was certainly not taken."""
        if route[0] == NONE:
            return None
        body = self._registration(route) if self.session is None else self._batch(route)
        self.last_id += body is not None
        return body

    def _batch(self, route: Route) -> bytes | None:
        batch = self._in_flight
        if batch is None:
            if not self.writes.ops:
                return None
            batch = self._next_batch(route)
            return None if batch is None else batch.body
        if batch.route == route and self._tick - batch.sent < self._retry * batch.again:
            return None
        batch.again = min(2 * batch.again, SLOWEST_RETRY) if batch.route == route else 1
        batch.route, batch.sent = route, self._tick
        batch.sendings += 1
        return batch.body

    def _registration(self, route: Route) -> bytes | None:
        again = 1
        if self._opening is not None and self._opening[0] == route:
            _, sent, again = self._opening
            if self._tick - sent < self._retry * again:
                return None
            again = min(2 * again, SLOWEST_RETRY)
        self._opening = (route, self._tick, again)
        return batches.encode_open(self._nonce)

    def _next_batch(self, route: Route) -> Batch | None:
        """What is gathered, or as much of it as one entry takes. None when nothing of it is to be
        sent."""
        bundles, ops = self.writes.take(self._max_batch)
        if (light := not_too_heavy(ops)) < len(ops):
            self.writes.put_back(bundles, ops)
            bundles, ops = self.writes.first(light)
        while True:
            only_writes = [op for op in ops if self._is_write(op)] if self._mixed else ops
            if (
                not only_writes and not self.writes.ops
            ):  # the writes that these reads had to follow are answered, and none follows
                self._mixed = False
                self.reads.add_in_order(each_with_its_own(bundles, ops))
                return None
            assert self.session is not None
            body = batches.encode_batch(
                self.session,
                self._number + 1,
                together(only_writes) if self.level >= TIMES_LEVEL else only_writes,
            )
            if len(body) <= self._max_batch_bytes or len(ops) == 1:
                break
            self.writes.put_back(bundles, ops)
            bundles, ops = self.writes.first(
                max(1, min(len(ops) // 2, len(ops) * self._max_batch_bytes // len(body)))
            )
        if len(body) > self._max_body_bytes:
            self._fail(bundles, Failure(TOO_LARGE % (len(body), self._max_body_bytes)))
            return None
        if not self.writes.ops:
            self._mixed = False
        self._number += 1
        self._in_flight = Batch(self._number, bundles, ops, body, route, self._tick)
        return self._in_flight

    def not_sent(self) -> None:
        """What `proposal` gave last did not leave this node."""
        batch = self._in_flight
        if self.session is None:
            self._opening = None
        elif batch is not None:
            batch.route = (NONE, 0, 0)
            batch.sendings -= 1

    def take_back(self, sent_as: int) -> bytes | None:
        """The one leader that got what left as `sent_as` appended nothing of it: `refuse` it. Its
        body, unless it may be in a log all the same."""
        batch = self._in_flight
        if batch is None or self.last_id != sent_as or batch.sendings != 1:
            return None
        self.not_sent()
        return batch.body

    def refuse(self, refusal: Refusal) -> bool:
        """There is no room for the batch in flight. Unless it may be in a log already, its writes
        are answered, and what is left goes with the next. False: it may be."""
        batch = self._in_flight
        if batch is None or batch.sendings:
            return False
        bundles, left, refused = [], [], False
        for bundle, ops in list(each_with_its_own(*self._take_back(batch))):
            failures = [refusal(op) if self._is_write(op) else None for op in ops]
            refused = refused or any(failures)
            if all(failures):
                self._give(bundle, failures)
                continue
            bundles.append(bundle)
            left += [
                op if failure is None else [CONSTANT, pack(failure)]
                for op, failure in zip(ops, failures, strict=True)
            ]
        if refused:
            self.writes.put_back(bundles, left)
        else:  # reads, which may not wait beyond the writes that follow them
            self._fail(bundles, NOT_EVEN_DELETIONS)
        return True

    def _take_back(self, batch: Batch) -> tuple[list[Bundle], list[Op]]:
        """The batch in flight, of which nothing is anywhere."""
        assert not batch.sendings
        self._in_flight, self._mixed = None, True
        self._number -= 1
        return batch.bundles, batch.ops

    @property
    def sent_before(self) -> bool:
        """What `proposal` gave last was sent before, to whomever."""
        return self._in_flight is not None and self._in_flight.sendings > 1

    # --- from the log -----------------------------------------------------------------------------

    def substitute(self, session: int, number: int) -> list[Op] | None:
        """The full list of commands of this gateway's own batch, reads included, at the moment it
        is executed."""
        batch = self._in_flight
        if session != self.session or batch is None or batch.number != number:
            return None
        return batch.ops

    def applied(self, outcome: Outcome) -> None:
        """What became of an entry of the log; most belong to other gateways."""
        if outcome.kind is OutcomeKind.SESSION_OPENED:
            if outcome.nonce == self._nonce and self.session is None:
                self.session, self._number, self._opening = outcome.session, 0, None
            return
        batch = self._in_flight
        if batch is None or outcome.session != self.session or outcome.number != batch.number:
            return
        if outcome.kind is OutcomeKind.EXECUTED:
            self._in_flight = None
            if not batch.answered:
                self._answer(batch.bundles, outcome.replies)
        elif outcome.kind is OutcomeKind.UNKNOWN_SESSION:
            self._session_lost(batch)

    def _session_lost(self, batch: Batch) -> None:
        """Our session was evicted. The batch was not executed before (this node would have seen it)
        and now never will be: it goes under a new one."""
        self.session, self._in_flight, self._opening = None, None, None
        if not batch.answered:
            self.writes.put_back(batch.bundles, batch.ops)
            self._mixed = True

    def answer(self, group: Reads, replies: list[Any]) -> None:
        self._answer(group.bundles, replies)

    def _answer(self, bundles: list[Bundle], replies: list[Any]) -> None:
        at = 0
        for bundle in bundles:
            end = at + bundle.count
            self._give(bundle, replies[at:end])
            at = end
        assert at == len(replies), "as many replies as commands"

    def _fail(self, bundles: list[Bundle], failure: Failure) -> None:
        for bundle in bundles:
            self._give(bundle, [failure] * bundle.count)

    def _give(self, bundle: Bundle, replies: list[Any]) -> None:
        whole = bundle.whole
        if whole is None:
            self.replies.append((bundle.token, replies))
        elif whole.put(bundle.at, replies):
            self.replies.append((bundle.token, whole.replies))

    def restored(self, last_number: int | None) -> None:
        """The state machine was replaced by a snapshot, in which our session is at `last_number`
        (None: gone)."""
        batch = self._in_flight
        if batch is not None and (last_number is None or last_number >= batch.number):
            self._in_flight = None
            if not batch.answered:
                self._fail(batch.bundles, RESTORED)
        if self.session is not None and last_number is None:
            self.session, self._opening = None, None

    def give_up(self, not_executed: Failure, unknown: Failure) -> None:
        """This node will apply nothing more: what waits is refused, and of what was sent no reply
        can come."""
        self._fail(self.writes.take(len(self.writes))[0], not_executed)
        self._fail(self.reads.take_all(), not_executed)
        batch = self._in_flight
        if batch is not None and not batch.answered:
            self._answer(
                batch.bundles, [unknown if self._is_write(op) else not_executed for op in batch.ops]
            )
        self._in_flight, self._mixed = None, False

    # --- the clock --------------------------------------------------------------------------------

    def leader_found(self) -> None:
        self._leaderless = 0

    def tick(self, *, led: bool = True) -> None:
        """`led`: a leader is known."""
        self._tick += 1
        self._leaderless = 0 if led else self._leaderless + 1
        limit = self._tick if self.leader_is_lost else self._tick - self._patience
        self.reads.tick()
        if self.writes and self.writes.bundles[0].born <= limit:
            self._fail(self.writes.older_than(limit), self._loading)
        batch = self._in_flight
        late = batch is not None and not batch.answered and batch.bundles[0].born <= limit
        if batch is not None and late and not batch.sendings:
            self._fail(self._take_back(batch)[0], self._loading)
        elif batch is not None and late:
            batch.answered = True
            self._answer(
                batch.bundles,
                [self._unknown if self._is_write(op) else self._loading for op in batch.ops],
            )
        self._fail(self.reads.take_late(limit), self._loading)
