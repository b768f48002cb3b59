"""The gateway by itself: what goes into a batch, in which order, and what clients are answered when
no answer comes."""

from __future__ import annotations

from typing import Any

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import Outcome, OutcomeKind
from counter_node.counters.replies import Failure
from counter_node.replica.gateway import Gateway

from tests.support.unit.gateways import ROUTE, number_and_ops, opened


def execute(gateway: Gateway, replies: list[Any]) -> list[tuple[Any, list[Any]]]:
    batch = gateway._in_flight
    assert batch is not None
    gateway.applied(Outcome(OutcomeKind.EXECUTED, 5, batch.number, 0, replies))
    sent, gateway.replies = gateway.replies, []
    return sent


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
    gateway.reads.to_ask(ROUTE)
    gateway.write("waits", [b"l"])
    gateway.read("read", [b"k", b"l"])
    no, unknown = Failure(b"MISCONF"), Failure(b"UNKNOWN")
    gateway.give_up(no, unknown)
    assert sorted(gateway.replies) == [
        ("asked", [no]),
        ("read", [no, no]),
        ("sent", [unknown, no]),
        ("waits", [no]),
    ]
    assert gateway.nobody_waits


def test_reads_among_the_writes_stay_out_of_the_log() -> None:
    gateway = opened()
    gateway.write("a", [b"k", [o.GET, b"k"], b"k"], mixed=True)
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"k", b"k"])
    assert gateway.substitute(5, 1) == [b"k", [o.GET, b"k"], b"k"]
    assert execute(gateway, [1, b"1", 2]) == [("a", [1, b"1", 2])]
    gateway.write("b", [[o.GET, b"k"]], mixed=True)
    assert gateway.proposal(ROUTE) is None, "nothing to write: it becomes a read like others"
    assert gateway.reads.to_ask(ROUTE) is not None


def test_reads_that_had_to_follow_writes_are_answered_in_time_as_well() -> None:
    """They began a patience of their own when the write before them was answered."""
    gateway = opened()
    gateway.write("write", [b"k"])
    gateway.proposal(ROUTE)
    gateway.write("behind", [[o.GET, b"k"], [o.GET, b"l"]], mixed=True)
    gateway.tick()
    gateway.read("read", [[o.GET, b"m"]])
    for _ in range(8):
        gateway.tick()
    assert execute(gateway, [1]) == [("write", [1])]
    assert gateway.proposal(ROUTE) is None
    assert gateway.reads.gathered.ops == [[o.GET, b"k"], [o.GET, b"l"], [o.GET, b"m"]]
    gateway.tick()
    assert gateway.replies == [("behind", [LOADING, LOADING])]
    gateway.replies.clear()
    gateway.tick()
    assert gateway.replies == [("read", [LOADING])]


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
    replies: list[bytes] = []
    for expected in range(1, 21):
        number, ops = number_and_ops(gateway.proposal(ROUTE))
        assert number == expected, "no number is left out"
        assert len(ops) <= 4
        execute(gateway, [reply for key in ops for reply in (1, b"1")])
        replies += ops
        if len(replies) == len(keys):
            break
    assert replies == keys


def parts(gateway: Gateway, reply: int = 0) -> tuple[list[Any], list[tuple[Any, list[Any]]]]:
    """Everything that is gathered, batch by batch; each command is answered with its number."""
    sent: list[Any] = []
    replies: list[tuple[Any, list[Any]]] = []
    for _ in range(200):
        body = gateway.proposal(ROUTE)
        if body is None:
            break
        sent.append(number_and_ops(body)[1])
        batch = gateway._in_flight
        assert batch is not None
        replies += execute(gateway, list(range(reply, reply + len(batch.ops))))
        reply += len(sent[-1])
    return sent, replies


def test_a_bundle_of_more_than_an_entry_takes_is_parted_between_commands_and_answered_whole() -> (
    None
):
    gateway = opened(max_batch_bytes=5_000)
    keys = [b"%0100d" % number for number in range(99)]
    gateway.write("small", [b"k"])
    gateway.write("great", keys)
    gateway.write("after", [b"l"])
    sent, replies = parts(gateway)
    assert [key for ops in sent for key in ops] == [b"k", *keys, b"l"]
    assert all(sum(map(len, ops)) <= 5_000 for ops in sent)
    assert replies == [("small", [0]), ("great", list(range(1, 100))), ("after", [100])]


def test_a_bundle_of_many_more_commands_than_a_batch_takes_is_parted() -> None:
    gateway = opened(max_batch=10)
    gateway.write("a", [b"%d" % number for number in range(35)])
    gateway.write("b", [b"b"] * 15)
    sent, replies = parts(gateway)
    assert [len(ops) for ops in sent] == [10, 10, 15, 15]
    assert replies == [("a", list(range(35))), ("b", list(range(35, 50)))]


def test_reads_of_a_parted_bundle_come_before_the_writes_after_them() -> None:
    """They travel beside an entry of no commands: as reads they could be answered when the writes
    after them are executed."""
    gateway = opened(max_batch=2)
    gateway.write("a", [[o.GET, b"k"]] * 5 + [b"k"], mixed=True)
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [])
    assert gateway.substitute(5, 1) == [[o.GET, b"k"]] * 2
    execute(gateway, [b"1"] * 2)
    assert number_and_ops(gateway.proposal(ROUTE)) == (2, [b"k"])
    assert execute(gateway, [b"1"] * 3 + [2]) == [("a", [b"1"] * 5 + [2])]


def test_parts_of_a_bundle_may_have_different_fates() -> None:
    gateway = opened(max_batch=2)
    gateway.write("a", [b"k"] * 6)
    gateway.proposal(ROUTE)
    execute(gateway, [1, 2])
    gateway.proposal(ROUTE)
    for _ in range(10):
        gateway.tick()
    ((token, replies),) = gateway.replies
    assert (token, replies[:2]) == ("a", [1, 2])
    assert [bytes(r).split(b" ")[0] for r in replies[2:]] == [b"UNKNOWN"] * 4


def test_a_command_that_no_entry_takes_is_refused_alone_and_the_error_names_the_limit() -> None:
    gateway = opened(max_batch_bytes=1_000, max_entry_bytes=2_000)
    large, too_large = [o.DEL, [b"x" * 1_900]], [o.DEL, [b"x" * 2_000]]
    gateway.write("a", [b"k", large, too_large, b"l"])
    sent = []
    for reply in range(4):
        body = gateway.proposal(ROUTE)
        if body is not None:
            assert len(batches.stamp(0, body)) <= 2_000
            sent += number_and_ops(body)[1]
            assert gateway._in_flight is not None
            execute(gateway, [reply]) or gateway.replies
    assert sent == [b"k", large, b"l"]


def test_a_refused_command_has_its_place_among_the_replies() -> None:
    gateway = opened(max_entry_bytes=2_000)
    gateway.write("a", [b"k", [o.DEL, [b"x" * 2_000]]])
    gateway.write("b", [b"l"])
    replies: list[Any] = []
    for reply in range(4):
        if gateway.proposal(ROUTE) is not None:
            replies += execute(
                gateway, [reply] * len(gateway._in_flight.ops if gateway._in_flight else [])
            )
    replies += gateway.replies
    assert [token for token, _ in replies] == ["a", "b"]
    assert replies[0][1][0] == 0
    assert b"2011 bytes in the log; at most 1992 (max_entry_bytes)" in replies[0][1][1]


def test_what_nobody_answers_is_sent_again_ever_more_slowly() -> None:
    gateway = opened()
    gateway.write("a", [b"k"])
    gateway.proposal(ROUTE)
    sent = []
    for tick in range(1, 60):
        gateway.tick()
        if gateway.proposal(ROUTE) is not None:
            sent.append(tick)
    assert sent == [3, 9, 21, 45]
    assert gateway.proposal((2, 8, 0)) is not None, "to another leader at once"
    for _ in range(3):
        assert gateway.proposal((2, 8, 0)) is None
        gateway.tick()
    assert gateway.proposal((2, 8, 0)) is not None


def test_what_was_never_sent_is_loading_and_what_was_is_unknown() -> None:
    gateway = opened()
    gateway.write("sent", [b"k", [o.GET, b"k"]], mixed=True)
    gateway.proposal(ROUTE)
    gateway.write("waits", [b"l"])
    for _ in range(10):
        gateway.tick()
    words = {
        token: [bytes(reply).split()[0] for reply in replies]
        for token, replies in gateway.replies
        if isinstance(replies[0], Failure)
    }
    assert words == {"sent": [b"UNKNOWN", b"LOADING"], "waits": [b"LOADING"]}
    gateway.replies.clear()
    assert execute(gateway, [1, b"1"]) == [], "it has been answered"
    assert gateway.nobody_waits


def test_only_those_that_waited_too_long_are_answered() -> None:
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
    assert gateway.replies == [("early", [LOADING]), ("read", [LOADING])], (
        "the leader is missing for ten ticks, these wait for four"
    )
    gateway.replies = []
    for number in range(1_000):
        gateway.write(number, [b"k", b"l"])
        gateway.read(number, [b"k"])
        assert gateway.replies == [(number, [LOADING] * 2), (number, [LOADING])]
        gateway.replies = []
    assert gateway.nobody_waits
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
    first = gateway.reads.to_ask(ROUTE)
    for _ in range(10):
        gateway.tick()
    gateway.read("b", [b"k", b"l"])
    assert gateway.replies == [("a", [LOADING]), ("b", [LOADING] * 2)]
    assert gateway.nobody_waits, "what goes on is asked for nobody"
    gateway.replies = []
    again = gateway.reads.to_ask(ROUTE)
    assert again is not None
    assert again != first
    gateway.reads.confirmed(again, 7)
    for group in gateway.reads.due(7):
        gateway.answer(group, [])
    gateway.read("c", [b"k"])
    assert not gateway.replies
    assert gateway.reads.to_ask(ROUTE) is not None


def test_a_batch_holds_so_many_names_and_no_more() -> None:
    """A million names of two bytes fit into the bytes of one, and every member would take them out
    of these at once."""
    gateway = opened()
    many: list[Any] = [[o.DEL, [b"%d" % (n % 10) for n in range(40_000)]] for _ in range(5)]
    gateway.write("a", many)
    gateway.write("b", [b"k"] * 9)
    sizes = []
    while (body := gateway.proposal(ROUTE)) is not None:
        _, found = number_and_ops(body)
        sizes.append(len(found))
        replies = execute(gateway, list(range(len(found))))
    assert sizes == [2, 2, 10]
    assert replies == [("a", [0, 1, 0, 1, 0]), ("b", list(range(1, 10)))]
    gateway.write("c", [[o.MULTI, [[o.DEL, [b"x"] * 150_000]]]])
    assert number_and_ops(gateway.proposal(ROUTE))[0] == 4, "a single command is never parted"


def test_what_was_never_sent_is_refused_for_certain_when_patience_is_over() -> None:
    gateway = opened()
    gateway.write("a", [b"k"])
    for _ in range(10):
        gateway.proposal(ROUTE)
        gateway.not_sent()
        gateway.tick()
    [(_, [reply])] = gateway.replies
    assert reply.startswith(b"LOADING")
    gateway.write("b", [b"l"])
    assert number_and_ops(gateway.proposal(ROUTE)) == (1, [b"l"])
