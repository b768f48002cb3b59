"""The gateway by itself: what goes into a batch, in which order, and what clients are told when no answer comes."""

from __future__ import annotations

from typing import Any

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import Outcome, OutcomeKind
from counter_node.counters.replies import Failure
from counter_node.gateway import Gateway

ROUTE = (1, 7, 0)


def opened(**limits: int) -> Gateway:
    gateway = Gateway(99, is_write=o.is_write, tick_ms=100, patience_ticks=10, retry_ticks=3, **limits)
    assert gateway.proposal(ROUTE) == batches.encode_open(99)
    gateway.applied(Outcome(OutcomeKind.SESSION_OPENED, 5, 0, 99))
    return gateway


def number_and_ops(body: bytes | None) -> tuple[int, list[Any]]:
    assert body is not None
    found = batches.decode(body)
    assert isinstance(found, batches.Batch)
    return found.number, batches.ops_of(body)


def execute(gateway: Gateway, replies: list[Any]) -> list[tuple[Any, list[Any]]]:
    batch = gateway._in_flight
    assert batch is not None
    gateway.applied(Outcome(OutcomeKind.EXECUTED, 5, batch.number, 0, replies))
    told, gateway.replies = gateway.replies, []
    return told


def test_bundles_go_in_their_order_and_are_answered_whole() -> None:
    gateway = opened()
    gateway.write("a", [b"k", b"l"])
    gateway.write("b", [b"m"])
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k", b"l", b"m"])
    gateway.write("c", [b"n"])
    assert gateway.proposal(ROUTE) is None, "one batch in flight"
    assert execute(gateway, [1, 2, 3]) == [("a", [1, 2]), ("b", [3])]
    assert number_and_ops(gateway.proposal(ROUTE)) == (2, [b"n"])


def test_a_node_that_applies_nothing_more_answers_all_that_wait() -> None:
    gateway = opened()
    gateway.write("sent", [b"k", [o.GET, b"k"]], mixed=True)
    gateway.proposal(ROUTE)
    gateway.read("asked", [b"k"])
    gateway.read_to_ask(ROUTE)
    gateway.write("waits", [b"l"])
    gateway.read("read", [b"k", b"l"])
    no, unknown = Failure(b"MISCONF"), Failure(b"UNKNOWN")
    gateway.give_up(no, unknown)
    assert sorted(gateway.replies) == [("asked", [no]), ("read", [no, no]), ("sent", [unknown, no]), ("waits", [no])]
    assert gateway.idle


def test_reads_among_the_writes_stay_out_of_the_log() -> None:
    gateway = opened()
    gateway.write("a", [b"k", [o.GET, b"k"], b"k"], mixed=True)
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k", b"k"])
    assert gateway.substitute(5, 1) == [b"k", [o.GET, b"k"], b"k"]
    assert execute(gateway, [1, b"1", 2]) == [("a", [1, b"1", 2])]
    gateway.write("b", [[o.GET, b"k"]], mixed=True)
    assert gateway.proposal(ROUTE) is None, "nothing to write: it becomes a read like others"
    assert gateway.read_to_ask(ROUTE) is not None


def test_a_batch_is_bounded_in_commands_at_the_end_of_a_bundle() -> None:
    gateway = opened(max_batch=3)
    for name in "abc":
        gateway.write(name, [b"k", b"l"])
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k", b"l"] * 2)
    execute(gateway, [1, 1, 2, 2])
    assert number_and_ops(gateway.proposal(ROUTE)) == (2, [b"k", b"l"])


def test_a_batch_is_bounded_in_bytes() -> None:
    gateway = opened(max_batch_bytes=5_000)
    keys = [b"%01000d" % number for number in range(20)]
    for number, key in enumerate(keys):
        gateway.write(number, [key, [o.GET, key]], mixed=True)
    told: list[bytes] = []
    for expected in range(1, 21):
        number, ops = number_and_ops(gateway.proposal(ROUTE))
        assert number == expected, "no number is left out"
        assert len(ops) <= 4
        execute(gateway, [reply for key in ops for reply in (1, b"1")])
        told += ops
        if len(told) == len(keys):
            break
    assert told == keys


def test_a_small_bundle_before_a_great_one_goes_alone() -> None:
    gateway = opened(max_batch_bytes=5_000)
    gateway.write("small", [b"k"])
    gateway.write("great", [b"%0100d" % number for number in range(99)])
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k"])
    execute(gateway, [1])
    assert len(number_and_ops(gateway.proposal(ROUTE))[1]) == 99


def test_a_bundle_alone_is_never_parted() -> None:
    gateway = opened(max_batch=2, max_batch_bytes=100)
    gateway.write("a", [b"%0100d" % number for number in range(5)])
    assert len(number_and_ops(gateway.proposal(ROUTE))[1]) == 5


def test_what_was_never_sent_is_loading_and_what_was_is_unknown() -> None:
    gateway = opened()
    gateway.write("sent", [b"k", [o.GET, b"k"]], mixed=True)
    gateway.proposal(ROUTE)
    gateway.write("waits", [b"l"])
    for _ in range(10):
        gateway.tick()
    told = {token: [bytes(reply).split()[0] for reply in replies] for token, replies in gateway.replies if isinstance(replies[0], Failure)}
    assert told == {"sent": [b"UNKNOWN", b"LOADING"], "waits": [b"LOADING"]}
    gateway.replies.clear()
    assert execute(gateway, [1, b"1"]) == [], "it has been answered"
    assert gateway.idle


def test_only_those_that_waited_too_long_are_told_so() -> None:
    gateway = opened()
    gateway.write("first", [b"k"])
    gateway.proposal(ROUTE)
    gateway.write("old", [b"k"])
    for _ in range(5):
        gateway.tick()
    gateway.write("new", [b"k", b"l"])
    for _ in range(5):
        gateway.tick()
    assert [token for token, _ in gateway.replies] == ["old", "first"]
    execute(gateway, [1])
    assert number_and_ops(gateway.proposal(ROUTE)) == (2, [b"k", b"l"])


def test_a_lost_session_sends_the_batch_again_under_a_new_one_before_what_came_later() -> None:
    gateway = opened()
    gateway.write("a", [b"k", [o.GET, b"k"]], mixed=True)
    gateway.proposal(ROUTE)
    gateway.write("b", [b"l"])
    gateway.applied(Outcome(OutcomeKind.UNKNOWN_SESSION, 5, 1))
    assert gateway.proposal(ROUTE) == batches.encode_open(99)
    gateway.applied(Outcome(OutcomeKind.SESSION_OPENED, 6, 0, 99))
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k", b"l"])


LOADING = Failure(b"LOADING no leader known for 1000 ms; the command was not executed")


def test_patience_counts_from_when_the_leader_was_lost_and_then_all_are_refused_at_once() -> None:
    gateway = opened()
    for _ in range(6):
        gateway.tick(led=False)
    gateway.write("early", [b"k"])
    gateway.read("read", [[o.GET, b"k"]])
    for _ in range(3):
        gateway.tick(led=False)
    assert not gateway.replies
    gateway.tick(led=False)
    assert gateway.replies == [("early", [LOADING]), ("read", [LOADING])], "the leader is missing for ten ticks, these wait for four"
    gateway.replies = []
    for number in range(1_000):
        gateway.write(number, [b"k", b"l"])
        gateway.read(number, [b"k"])
        assert gateway.replies == [(number, [LOADING] * 2), (number, [LOADING])]
        gateway.replies = []
    assert gateway.idle
    gateway.leader_found()
    gateway.write("late", [b"k"])
    assert not gateway.replies
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k"])


def test_behind_a_batch_that_was_given_up_nothing_waits_until_its_fate_is_known() -> None:
    """A leader that is known and does not answer: half of a connection is cut, say."""
    gateway = opened()
    gateway.write("a", [b"k"])
    gateway.proposal(ROUTE)
    for _ in range(10):
        gateway.tick()
    assert [reply[:7] for _, replies in gateway.replies for reply in replies] == [b"UNKNOWN"]
    gateway.replies = []
    gateway.write("b", [b"k"])
    assert gateway.replies == [("b", [LOADING])]
    gateway.replies = []
    assert execute(gateway, [1]) == []
    gateway.write("c", [b"l"])
    assert not gateway.replies
    assert number_and_ops(gateway.proposal(ROUTE)) == (2, [b"l"])


def test_reads_that_a_known_leader_does_not_confirm_are_refused_at_once_until_one_is() -> None:
    gateway = opened()
    gateway.read("a", [b"k"])
    first = gateway.read_to_ask(ROUTE)
    for _ in range(10):
        gateway.tick()
    gateway.read("b", [b"k", b"l"])
    assert gateway.replies == [("a", [LOADING]), ("b", [LOADING] * 2)]
    assert gateway.idle, "what goes on is asked for nobody"
    gateway.replies = []
    again = gateway.read_to_ask(ROUTE)
    assert again is not None
    assert again != first
    gateway.read_confirmed(again, 7)
    for group in gateway.reads_due(7):
        gateway.answer(group, [])
    gateway.read("c", [b"k"])
    assert not gateway.replies
    assert gateway.read_to_ask(ROUTE) is not None
