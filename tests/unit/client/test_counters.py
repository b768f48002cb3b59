"""The client against a server that loses requests and replies at exact moments."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from countercluster import CounterError, NotExecuted, OutcomeUnknown, Refused

from tests.support.unit.client_clock import LATE_S, Clock
from tests.support.unit.counting_server import PATIENT_FACES, CountingServer

pytestmark = PATIENT_FACES


@pytest.mark.parametrize(
    "faults",
    [
        ["lose-reply"],
        ["lose-request"],
        ["lose-reply"] * 3,
        ["LOADING no leader"],
        ["UNKNOWN outcome"],
        ["lose-reply", "LOADING no leader", "lose-request"],
        ["TRYAGAIN later"],
        ["CLUSTERDOWN no leader"],
    ],
)
def test_an_increment_is_counted_once_whatever_is_lost_on_the_way(
    face: Any, faults: list[str]
) -> None:
    with CountingServer(*faults) as server, face(server.url) as counters:
        assert counters.incr("k") == 1
        assert counters.incr("k", 5) == 6
        assert counters.decr("k", 2) == 4
        assert counters.get("k") == 4
        assert [words[1:] for words in server.executed] == [
            (b"k", b"1"),
            (b"k", b"5"),
            (b"k", b"2"),
        ]


def test_without_exactly_once_a_lost_reply_is_reported_and_never_repeated(face: Any) -> None:
    with CountingServer("lose-reply") as server, face(server.url, exactly_once=False) as counters:
        with pytest.raises(OutcomeUnknown):
            counters.incr("k")
        assert len(server.received) == 1
        assert counters.incr("k") == 2


def test_without_exactly_once_a_command_that_was_certainly_not_executed_is_sent_again(
    face: Any,
) -> None:
    with (
        CountingServer("LOADING no leader", "LOADING no leader") as server,
        face(server.url, exactly_once=False) as counters,
    ):
        assert counters.incr("k") == 1
        assert len(server.executed) == 1


def test_at_the_deadline_the_outcome_is_unknown_when_any_attempt_was_not_answered(
    face: Any,
) -> None:
    faults = ["lose-reply"] + ["LOADING no leader"] * 100
    with (
        CountingServer(*faults) as server,
        Clock(server),
        face(server.url, deadline_s=3) as counters,
    ):
        with pytest.raises(OutcomeUnknown, match=r"INCRBY k 1: LOADING no leader \(deadline 3 s"):
            counters.incr("k")
        assert server.values == {b"k": 1}


def test_a_reply_that_comes_too_late_is_nobody_elses(face: Any) -> None:
    """The connection that it comes on is left, and the command sent again on another."""
    with CountingServer("late", "", "late") as server, face(server.url, attempt_s=0.1) as counters:
        assert [counters.incr("k") for _ in range(5)] == [1, 2, 3, 4, 5]
        server.release()
        assert [counters.incr("k") for _ in range(3)] == [6, 7, 8]
        assert server.values == {b"k": 8}


def test_without_exactly_once_a_late_reply_is_an_unknown_outcome_and_nobody_elses(
    face: Any,
) -> None:
    with (
        CountingServer("late") as server,
        Clock(server),
        face(server.url, attempt_s=LATE_S / 4, exactly_once=False) as counters,
    ):
        with pytest.raises(OutcomeUnknown):
            counters.incr("k")
        server.release()
        assert [counters.incr("k") for _ in range(3)] == [2, 3, 4]


def test_at_the_deadline_nothing_was_executed_when_every_attempt_was_refused(face: Any) -> None:
    with (
        CountingServer(*["LOADING no leader"] * 100) as server,
        Clock(server),
        face(server.url, deadline_s=3) as counters,
    ):
        with pytest.raises(NotExecuted):
            counters.incr("k")
        assert not server.values


def test_after_an_unknown_outcome_the_lane_goes_on_under_its_own_producer(face: Any) -> None:
    with (
        CountingServer(*["lose-reply"] * 100) as server,
        Clock(server),
        face(server.url, deadline_s=3) as counters,
    ):
        with pytest.raises(OutcomeUnknown):
            counters.incr("k")
        first = {words[1] for words in server.received}
        server.faults = iter(())
        assert counters.incr("k") == 2
        assert {server.received[-1][1]} == first
        assert server.received[-1][2] == b"2"


def test_a_sequence_that_never_arrived_costs_no_producer_of_the_clusters_table(face: Any) -> None:
    with (
        CountingServer(*["lose-request"] * 100) as server,
        Clock(server),
        face(server.url, deadline_s=3) as counters,
    ):
        with pytest.raises(OutcomeUnknown):
            counters.incr("k")
        server.faults = iter(())
        assert [counters.incr("k") for _ in range(3)] == [1, 2, 3]
        assert len(server.producers) == 1


def test_a_forgotten_producer_starts_again_when_nothing_was_left_open(face: Any) -> None:
    with CountingServer() as server, face(server.url) as counters:
        assert counters.incr("k") == 1
        server.producers.clear()
        assert counters.incr("k") == 2
        assert len(server.executed) == 2


def test_a_producer_that_is_forgotten_between_two_attempts_leaves_the_outcome_unknown(
    face: Any,
) -> None:
    with (
        CountingServer("", "lose-reply", "IDMPEXPIRED too old") as server,
        face(server.url) as counters,
    ):
        counters.incr("k")
        with pytest.raises(OutcomeUnknown, match="too old"):
            counters.incr("k")
        assert counters.incr("k") == 3


@pytest.mark.parametrize(
    "error",
    [
        "ERR value is not an integer or out of range",
        "WRONGTYPE not a counter",
        "OOM too many keys",
        "NOPERM no",
    ],
)
def test_a_definite_error_is_raised_at_once_in_the_servers_words(face: Any, error: str) -> None:
    with CountingServer(error) as server, face(server.url) as counters:
        with pytest.raises(Refused, match=error.split(" ", 1)[1]):
            counters.incr("k")
        assert counters.incr("k") == 1
        assert len(server.received) >= 2


def test_being_refused_unexecuted_says_nothing_about_the_attempt_before(face: Any) -> None:
    server = CountingServer("lose-reply", "NOAUTH Authentication required.")
    with (
        server,
        face(server.url) as counters,
        pytest.raises(OutcomeUnknown, match="Authentication required"),
    ):
        counters.incr("k")


@pytest.mark.parametrize(
    "error",
    [
        "ERR unknown command 'IDMP'",
        "ERR not before every node of the cluster is upgraded",
        "WRONGTYPE no",
        "ERR too long",
        "OOM too many",
    ],
)
def test_an_error_of_the_node_says_nothing_about_an_attempt_that_was_not_answered(
    face: Any, error: str
) -> None:
    """It was counted, and its reply lost: "nothing was done" would be a lie."""
    with CountingServer("lose-reply", error) as server, face(server.url) as counters:
        with pytest.raises(OutcomeUnknown, match="an attempt was not answered"):
            counters.incr("k")
        assert server.values == {b"k": 1}
        assert counters.incr("k") == 2


@pytest.mark.parametrize(
    "error", ["ERR increment or decrement would overflow", "ERR applied increment would overflow"]
)
def test_an_error_that_the_cluster_remembers_is_the_outcome_of_every_attempt(
    face: Any, error: str
) -> None:
    with CountingServer("lose-request", error) as server, face(server.url) as counters:
        with pytest.raises(Refused, match="would overflow"):
            counters.incr("k")
        assert counters.incr("k") == 1


def test_attempts_lengthen_until_a_slow_reply_comes(face: Any) -> None:
    """Every reply takes longer than the first attempts: the call ends with its value, not at the
    deadline."""
    with (
        CountingServer(*["late"] * 6) as server,
        Clock(server),
        face(server.url, attempt_s=LATE_S / 6) as counters,
    ):
        assert counters.incr("k") == 1
        assert len(server.received) == 4, "attempts of 1, 2, 4 and 8 sixths"
        assert counters.incr("k") == 2
        assert len(server.received) == 5, "the lane forgot how slow the cluster is"
        assert server.values == {b"k": 2}


def test_a_dead_address_is_passed_over(face: Any) -> None:
    with CountingServer() as dead:
        gone = dead.url
    with CountingServer() as server, face([gone, server.url], connect_s=5) as counters:
        assert [counters.incr("k") for _ in range(3)] == [1, 2, 3]


def test_nobody_answers_before_the_deadline(face: Any) -> None:
    with CountingServer() as dead:
        gone = dead.url
    with face([gone], deadline_s=0.2) as counters:
        with pytest.raises(NotExecuted, match=r"127\.0\.0\.1"):
            counters.incr("k")
        with pytest.raises(NotExecuted):
            counters.get("k")


def test_threads_share_the_counters(face: Any) -> None:
    with CountingServer(*["", "lose-reply"] * 50) as server, face(server.url) as counters:
        seen: list[int] = []

        def count() -> None:
            seen.extend(counters.incr("k") for _ in range(50))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(seen) == list(range(1, 201))


def test_a_bad_address_is_refused_when_the_counters_are_made(face: Any) -> None:
    with pytest.raises(CounterError, match="http://x"):
        face("http://x")
    with pytest.raises(CounterError, match="no address"):
        face([])


def test_closed_counters_say_so(face: Any) -> None:
    with face("redis://127.0.0.1:1") as counters:
        counters.close()
        with pytest.raises(CounterError, match="closed"):
            counters.incr("k")


def test_a_found_node_is_asked_when_the_one_that_was_given_dies(face: Any) -> None:
    with CountingServer() as other, CountingServer() as given:
        other.values, other.producers = given.values, given.producers
        port = int(other.url.rpartition(":")[2])
        node = (
            b"*6\r\n$2\r\nid\r\n$1\r\nx\r\n$4\r\nport\r\n:%d\r\n$8\r\nendpoint\r\n$9\r\n127.0.0.1\r\n"
            % port
        )
        given.shards = (
            b"*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n" + node
        )
        with face(given.url, connect_s=5) as counters:
            assert counters.incr("k") == 1
            assert not other.received
            given.stop()
            assert counters.incr("k") == 2
            assert len(other.executed) == 1


def test_a_deadline_of_one_call(face: Any) -> None:
    with (
        CountingServer(*["LOADING no leader"] * 1000) as server,
        Clock(server) as clock,
        face(server.url) as counters,
    ):
        start = clock.now
        with pytest.raises(NotExecuted, match=r"deadline 0\.2 s"):
            counters.within(0.2).incr("k")
        assert 0 < clock.now - start <= 0.2


def test_what_is_passed_through_reaches_the_server(face: Any) -> None:
    with (
        CountingServer() as server,
        face(server.url, username="alice", password="secret", client_name="till-3") as counters,
    ):
        counters.incr("k")
        assert (b"AUTH", b"alice", b"secret") in server.greetings
        assert (b"CLIENT", b"SETNAME", b"till-3") in server.greetings
