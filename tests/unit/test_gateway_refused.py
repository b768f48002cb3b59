"""Batches for which there is no room: taken back and answered for certain, or left alone where they
may be in a log."""

from __future__ import annotations

from counter_node.counters import ops as o
from counter_node.counters.replies import Failure, pack

from tests.support.unit.gateways import ROUTE, number_and_ops, opened


def full(op: o.Op) -> Failure | None:
    return None if op == [o.FLUSH] else Failure(b"MISCONF")


def test_a_batch_that_went_nowhere_is_taken_back_and_its_number_goes_to_the_next() -> None:
    gateway, refusal = opened(), Failure(b"MISCONF")
    gateway.write("a", [b"k", [o.DEL, [b"k"]]])
    gateway.write("b", [[o.FLUSH], b"k", [o.GET, b"k"]], mixed=True)
    gateway.proposal(ROUTE)
    gateway.not_sent()
    gateway.refuse(full)
    assert gateway.replies == [("a", [refusal, refusal])]
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [[o.FLUSH]])
    ops = gateway.substitute(5, 1)
    assert ops == [[o.FLUSH], [o.CONSTANT, pack(refusal)], [o.GET, b"k"]], "each in its place"
    gateway.not_sent()
    gateway.refuse(lambda op: refusal)
    assert gateway.proposal(ROUTE) is None, "no write is left"
    assert gateway.reads.wanted


def test_a_batch_that_may_be_in_a_log_is_never_taken_back() -> None:
    gateway = opened()
    gateway.write("a", [b"k"])
    body = gateway.proposal(ROUTE)
    first = gateway.last_id
    assert not gateway.sent_before
    assert gateway.proposal((1, 8, 0)) == body
    assert gateway.sent_before
    assert gateway.take_back(first) is None, "the second may be taken"
    assert gateway.take_back(gateway.last_id) is None, "so may the first have been"
    gateway.not_sent()
    gateway.refuse(full)
    assert not gateway.replies
    assert gateway.proposal((2, 9, 0)) == body


def test_what_the_one_leader_that_got_it_did_not_take_is_taken_back() -> None:
    gateway = opened()
    gateway.write("a", [b"k"])
    body = gateway.proposal(ROUTE)
    sent_as = gateway.last_id
    assert gateway.take_back(sent_as - 1) is None
    assert gateway.take_back(sent_as) == body
    gateway.refuse(full)
    assert gateway.replies == [("a", [Failure(b"MISCONF")])]
    gateway.write("b", [b"l"])
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"l"])
    assert gateway.take_back(sent_as) is None, "that was another"


def test_reads_in_front_of_writes_that_find_no_room_are_refused_with_the_next() -> None:
    """A batch of reads alone was given back and offered again, for ever, within one turn."""
    gateway = opened(max_batch=2)
    gateway.write("a", [[o.GET, b"k"]] * 2, mixed=True)
    gateway.write("b", [b"k"])
    body = gateway.proposal(ROUTE)
    assert number_and_ops(body) == (1, [])
    gateway.not_sent()
    assert gateway.refuse(full)
    assert [name for name, _ in gateway.replies] == ["a"]
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k"])
