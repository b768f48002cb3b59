"""One client's pipeline without a socket: bytes in and bundles out, replies in and bytes out, as
the tables at the top of resp/pipeline.py have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from counter_node.counters import ops as o
from counter_node.counters.replies import Failure
from counter_node.resp.dispatch import new_session
from counter_node.resp.ordered_replies import Shared
from counter_node.resp.pipeline import (
    BAD,
    BLOCKED,
    ENDED,
    HELD,
    IDLE,
    READY,
    RECEIVED,
    SLOW,
    Pipeline,
)

from tests.support.unit.made_up_node import request

READ, WRITE = request(b"EXISTS", b"r"), request(b"INCRBY", b"w", b"5")
READ_OP, WRITE_OP = [o.EXISTS, [b"r"]], [o.INCRBY, b"w", 5]
LONG = request(b"MSET", *[b"k", b"1"] * 2_000)
LOADING = Failure(b"LOADING not now")


class Client:
    """A pipeline with whoever drives it: bundles are kept until the test answers them."""

    def __init__(self, *, admin: bool = False, most: int = 100, most_bytes: int = 1 << 20) -> None:
        self.errors: list[Any] = []
        self.refused: list[str] = []
        shared = Shared(most, most_bytes, self._failed, self.refused.append)
        session = new_session(1, "a:1", "b:1", admin=admin)
        session.ask = lambda question: question.name.encode()
        self.pipeline = Pipeline(session, shared, self)
        self.begun = 0

    def _failed(self, replies: Any) -> None:
        self.errors += [reply for reply in replies if isinstance(reply, Failure)]

    def send(self, data: bytes, most: int = 100, refusal: Failure | None = None) -> list[Any]:
        """Everything that can be done with it now; the bundles that came of it: whether they write,
        the operations, whether reads go with writes."""
        self.pipeline.receive(data)
        while self.pipeline.step(most, refusal) is not None:
            pass
        return self.new()

    def new(self) -> list[Any]:
        found = self.pipeline.bundles[self.begun :]
        self.begun = len(self.pipeline.bundles)
        return [(pending.write, ops, mixed) for pending, ops, mixed in found]

    def answer(self, which: int, *replies: Any) -> bytes:
        self.pipeline.answered(self.pipeline.bundles[which][0], list(replies))
        return self.written()

    def written(self) -> bytes:
        parts = []
        while self.pipeline.replies.ready:
            parts.append(self.pipeline.replies.next_bytes())
        self.pipeline.relax()
        return b"".join(parts)


# --- which way an operation goes ------------------------------------------------------------------


def test_with_nothing_unanswered_a_read_goes_by_index_and_a_write_in_a_batch() -> None:
    assert Client().send(READ) == [(False, [READ_OP], False)]
    assert Client().send(WRITE) == [(True, [WRITE_OP], False)]


def test_behind_a_write_a_read_goes_with_the_batches() -> None:
    client = Client()
    client.send(WRITE)
    assert client.send(READ) == [(True, [READ_OP], True)]
    assert client.send(WRITE) == [(True, [WRITE_OP], False)]


def test_behind_a_read_a_write_is_held_with_all_that_comes_behind_it() -> None:
    client = Client()
    client.send(READ)
    assert client.send(READ + WRITE + READ) == [(False, [READ_OP], False)]
    assert client.pipeline.state == HELD
    assert client.send(READ) == []
    assert client.answer(0, 1) == b":1\r\n"
    assert client.new() == [], "another read is unanswered"
    assert client.answer(1, 2) == b":2\r\n"
    assert client.new() == [(True, [WRITE_OP, READ_OP], True)]
    assert client.send(b"") == [(True, [READ_OP], True)]
    assert client.answer(2, 5, 3) == b":5\r\n:3\r\n"


def test_what_comes_together_and_has_a_write_in_it_goes_in_one_batch() -> None:
    client = Client()
    assert client.send(READ + WRITE + READ) == [(True, [READ_OP, WRITE_OP, READ_OP], True)]


def test_what_the_connection_answers_parts_bundles_and_keeps_its_place() -> None:
    client = Client()
    assert client.send(WRITE + request(b"ECHO", b"e") + WRITE) == [(True, [WRITE_OP], False)] * 2
    assert client.answer(1, 10) == b""
    assert client.answer(0, 5) == b":5\r\n$1\r\ne\r\n:10\r\n"


def test_a_pipeline_of_increments_is_a_bundle_of_names_and_waits_for_reads_like_others() -> None:
    client = Client()
    assert client.send(request(b"INCR", b"a") + request(b"incr", b"b")) == [
        (True, [b"a", b"b"], False)
    ]
    client = Client()
    client.send(READ)
    assert client.send(request(b"INCR", b"a") * 2) == []
    client.answer(0, 1)
    assert client.new() == [(True, [b"a", b"a"], False)]


def test_the_administration_is_asked_and_others_wait_for_its_answer() -> None:
    client = Client(admin=True)
    client.send(request(b"RAFT.STATUS") + request(b"PING") + request(b"INFO"))
    ((asked, words),) = client.pipeline.questions
    assert words == [b"RAFT.STATUS"]
    assert client.written() == b""
    client.pipeline.complete(asked, b"s")
    assert client.written() == b"$1\r\ns\r\n+PONG\r\n$4\r\ninfo\r\n"


def test_one_question_about_the_node_is_answered_in_a_step() -> None:
    """CLIENT LIST of 3,000 connections takes 25 ms, and a new connection has 32 commands begun
    before the clock is read."""
    client = Client()
    asked: list[Any] = []
    client.pipeline.session.ask = lambda question: asked.append(question) or b"info"
    client.pipeline.receive(request(b"INFO") * 3 + request(b"PING"))
    for count in range(1, 4):
        client.pipeline.step(100)
        assert len(asked) == count
    client.pipeline.step(100)
    assert client.written() == b"$4\r\ninfo\r\n" * 3 + b"+PONG\r\n"


def test_one_question_about_the_node_is_answered_in_a_step_of_a_transaction() -> None:
    client = Client()
    asked: list[Any] = []
    client.pipeline.session.ask = lambda question: asked.append(question) or b"info"
    client.send(request(b"MULTI") + request(b"INFO") * 5)
    client.pipeline.receive(request(b"EXEC"))
    before = 0
    while client.pipeline.step(100) is not None:
        assert len(asked) <= before + 1
        before = len(asked)
    assert before == 5
    assert client.written().endswith(b"*5\r\n" + b"$4\r\ninfo\r\n" * 5)


def test_one_question_about_the_node_waits_behind_a_write_that_waits_for_reads() -> None:
    client = Client()
    asked: list[Any] = []
    client.pipeline.session.ask = lambda question: asked.append(question) or b"info"
    client.send(READ)
    assert client.send(WRITE + request(b"INFO") * 3) == []
    client.answer(0, 1)
    assert len(asked) == 1
    client.send(b"")
    assert len(asked) == 3
    assert client.answer(1, 5) == b":5\r\n" + b"$4\r\ninfo\r\n" * 3


# --- states ---------------------------------------------------------------------------------------


def sent(*data: bytes, steps: int = 0, most: int = 100) -> Callable[[], Client]:
    def made() -> Client:
        client = Client()
        for piece in data[:-1]:
            client.send(piece)
        client.pipeline.receive(data[-1])
        for _ in range(steps):
            client.pipeline.step(most)
        return client

    return made


def blocked() -> Client:
    client = sent(WRITE)()
    client.pipeline.reasons.add("any")
    return client


@pytest.mark.parametrize(("made", "state", "worked", "then"), [
    (sent(b""), IDLE, None, IDLE),
    (sent(WRITE[:9]), RECEIVED, RECEIVED, IDLE),
    (sent(WRITE), RECEIVED, READY, IDLE),
    (sent(LONG), RECEIVED, READY, SLOW),
    (sent(b"x" * (40 << 10)), RECEIVED, RECEIVED, RECEIVED),
    (sent(b"*x\r\n"), RECEIVED, RECEIVED, BAD),
    (sent(WRITE * 3, steps=1, most=2), READY, READY, IDLE),
    (sent(LONG, steps=1), SLOW, SLOW, SLOW),
    (sent(LONG, steps=5), SLOW, SLOW, IDLE),
    (sent(READ, LONG, steps=5), SLOW, SLOW, HELD),
    (sent(READ, WRITE, steps=1), HELD, None, HELD),
    (sent(b"*x\r\n", steps=1), BAD, BAD, ENDED),
    (sent(request(b"QUIT")), RECEIVED, READY, ENDED),
    (sent(request(b"QUIT"), b""), ENDED, None, ENDED),
    (blocked, BLOCKED, None, BLOCKED),
])  # fmt: skip
def test_a_step_is_what_the_table_of_states_says(
    made: Callable[[], Client], state: str, worked: str | None, then: str
) -> None:
    pipeline = made().pipeline
    assert pipeline.state == state
    assert pipeline.step(100) == worked
    assert pipeline.state == then


def test_what_is_no_request_is_answered_last_and_after_the_good_ones_before_it() -> None:
    client = Client()
    assert client.send(WRITE + b"*1\r\n:1\r\n" + WRITE) == [(True, [WRITE_OP], False)]
    assert client.refused == ["client_protocol"]
    assert client.written() == b""
    assert client.answer(0, 5) == b":5\r\n-ERR Protocol error: expected '$', got ':'\r\n"
    assert client.pipeline.ended
    assert client.pipeline.replies.all_written


def test_a_refusal_answers_each_command_and_is_the_end() -> None:
    client = Client()
    assert client.send(WRITE * 2, refusal=LOADING) == []
    assert client.written() == b"-LOADING not now\r\n" * 2
    assert client.errors == [LOADING] * 2
    assert client.pipeline.state == ENDED


def test_a_connection_that_is_lost_ends_its_watch_and_nothing_is_answered() -> None:
    client = Client()
    client.send(request(b"WATCH", b"k") + request(b"ECHO", b"1"))
    client.answer(0, "OK")
    client.send(READ)
    client.pipeline.lost()
    assert client.new() == [], "it waits for the read, as any write does"
    assert client.answer(1, 1) == b""
    ((write, ((code, *_),), _),) = client.new()
    assert (write, code) == (True, o.UNWATCH)


# --- how far ahead --------------------------------------------------------------------------------


def test_too_many_commands_block_until_half_is_answered() -> None:
    client = Client(most=4)
    for _ in range(6):
        client.send(WRITE)
    assert client.begun == 5, "the one that was too many is on its way"
    assert client.pipeline.state == BLOCKED
    for which in range(3):
        assert client.pipeline.reasons == {"pipeline"}
        client.answer(which, 1)
    assert client.send(b"") == [(True, [WRITE_OP], False)]


def test_too_many_bytes_block_until_half_is_answered() -> None:
    client = Client(most_bytes=2 * len(WRITE))
    for _ in range(3):
        client.send(WRITE)
    assert client.pipeline.reasons == {"bytes"}
    assert client.pipeline.held_bytes == 3 * len(WRITE)
    client.answer(0, 1)
    assert client.pipeline.reasons == {"bytes"}
    client.answer(1, 1)
    assert (client.pipeline.reasons, client.pipeline.held_bytes) == (set(), len(WRITE))


# --- the lane -------------------------------------------------------------------------------------


def test_only_a_pipeline_with_nothing_in_the_way_is_plain() -> None:
    client = Client()
    pipeline = client.pipeline
    assert not pipeline.plain, "it has said nothing yet"
    client.send(request(b"PING"))
    assert not pipeline.plain, "its answer is not written"
    client.written()
    assert pipeline.plain
    client.send(WRITE[:9])
    assert not pipeline.plain, "a part of a command is there"
    client.send(WRITE[9:])
    assert not pipeline.plain
    client.answer(0, 5)
    assert pipeline.plain
    client.send(request(b"MULTI"))
    client.written()
    assert not pipeline.plain
    client.send(request(b"DISCARD"))
    client.written()
    assert pipeline.plain
    pipeline.session.guarded = True
    assert not pipeline.plain
    pipeline.session.guarded = False
    pipeline.receive(WRITE)
    assert not pipeline.plain, "it would be overtaken"


def test_a_long_answer_is_unanswered_until_its_last_piece() -> None:
    client = Client()
    client.send(request(b"MGET", *[b"k"] * 5_000))
    client.send(b"")
    pending = client.pipeline.bundles[0][0]
    client.pipeline.answered(pending, [[b"1"] * 5_000])
    replies, pieces = client.pipeline.replies, []
    while replies.ready:
        pieces.append(replies.next_bytes())
        assert replies.in_pieces == (replies.unanswered == 1)
    assert len(list(filter(None, pieces))) > 5
    assert b"".join(pieces) == b"*5000\r\n" + b"$1\r\n1\r\n" * 5_000
    assert client.pipeline.plain
