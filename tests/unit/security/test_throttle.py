"""How fast passwords can be guessed, and that right ones get in all the same."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from counter_node.net import logins
from counter_node.net.connection import ClientConnection
from counter_node.net.logins import KEY_MOST, Logins
from counter_node.security.throttle import ADDRESS, CELLS, TOTAL, USER, Throttle, network
from counter_node.users.access import THROTTLED
from hypothesis import given
from hypothesis import strategies as st

from tests.support.unit.made_up_node import MadeUpNode, request, run


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def guesses(throttle: Throttle, keys: list[tuple[str, str]]) -> int:
    """How many of the logins are judged at once; all are wrong."""
    judged = 0
    for key in keys:
        if throttle.admits(key):
            throttle.failed(key)
            judged += 1
    return judged


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(0, 2))))
def test_no_account_gives_more_than_its_tokens(attempts: list[tuple[int, int, float]]) -> None:
    clock = Clock()
    throttle = Throttle(clock)
    failed: dict[str, int] = {}
    for address, user, pause in attempts:
        clock.now += pause
        if throttle.admits((f"a{address}", f"u{user}")):
            throttle.failed((f"a{address}", f"u{user}"))
            for account in (f"a{address}", f"u{user}", "all"):
                failed[account] = failed.get(account, 0) + 1
    for account, count in failed.items():
        rate = {"a": ADDRESS, "u": USER}[account[0]] if account != "all" else TOTAL
        assert count <= rate.burst + clock.now * rate.per_s


def test_many_addresses_guess_no_more_than_the_accounts_of_user_and_all_allow() -> None:
    assert (
        guesses(Throttle(Clock()), [(f"10.0.{n % 256}.{n // 256}", "app") for n in range(3_000)])
        == USER.burst
    )
    assert (
        guesses(
            Throttle(Clock()), [(f"10.0.{n % 256}.{n // 256}", f"u{n % 100}") for n in range(3_000)]
        )
        == TOTAL.burst
    )


def test_many_addresses_free_no_exhausted_one() -> None:
    throttle = Throttle(Clock(), b"salt")
    guilty = ("192.0.2.1", "app")
    assert guesses(throttle, [guilty] * 100) == ADDRESS.burst
    for n in range(3 * CELLS):
        throttle.failed((f"10.{n % 256}.{n // 256 % 256}.1", "nobody"))
    assert not throttle._addresses.has(throttle._cell(guilty[0]))
    assert len(throttle._addresses._missing) == CELLS


def test_a_flood_is_over_when_it_is_over() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(10_000):
        throttle.failed(("a", "app"))
    clock.now += ADDRESS.burst / ADDRESS.per_s
    assert throttle.admits(("a", "app"))


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_is_a_network_where_one_has_many(address: str, counts_as: str) -> None:
    assert network(address) == counts_as


class Waiter:
    """A connection with a login."""

    def __init__(self, failed: int = 0) -> None:
        self.closed, self.failed_logins, self.outcome = False, failed, ""

    def login_turn(self) -> None:
        self.outcome = "turn"

    def login_refused(self, *, end: bool) -> None:
        self.outcome = "ended" if end else "refused"


class Loop:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, Any]] = []

    def call_later(self, after: float, call: Any) -> None:
        self.calls.append((self.now + after, call))

    def run_to(self, until: float) -> None:
        while self.calls and min(at for at, _ in self.calls) <= until:
            self.calls.sort(key=lambda c: c[0])
            self.now, call = self.calls.pop(0)
            call()
        self.now = until


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> tuple[Loop, Logins, Throttle]:
    loop = Loop()
    monkeypatch.setattr(logins, "monotonic", lambda: loop.now)
    throttle = Throttle(lambda: loop.now)
    return loop, Logins(cast(asyncio.AbstractEventLoop, loop), throttle), throttle


def test_whoever_has_a_place_is_judged_before_clients_give_up(
    room: tuple[Loop, Logins, Throttle],
) -> None:
    loop, waiting, _ = room
    honest = Waiter()
    crowd = [Waiter() for _ in range(KEY_MOST - 1)]
    for waiter in (*crowd, honest):
        waiting.wait(cast(Any, waiter), ("192.0.2.1", "app"))
    loop.run_to(logins.WAIT_S)
    assert {waiter.outcome for waiter in (*crowd, honest)} == {"turn"}


def test_who_failed_on_its_connection_makes_room_for_who_did_not(
    room: tuple[Loop, Logins, Throttle],
) -> None:
    _, waiting, _ = room
    guessing = [Waiter(failed=1) for _ in range(KEY_MOST)]
    for waiter in guessing:
        waiting.wait(cast(Any, waiter), ("192.0.2.1", "app"))
    honest = Waiter()
    waiting.wait(cast(Any, honest), ("192.0.2.1", "app"))
    assert honest.outcome == ""
    assert [w.outcome for w in guessing].count("ended") == 1


def test_who_was_here_before_does_not_wait_behind_a_thousand_strangers(
    room: tuple[Loop, Logins, Throttle],
) -> None:
    loop, waiting, throttle = room
    throttle.succeeded(("192.0.2.1", "app"))
    for n in range(1_000):
        waiting.wait(cast(Any, Waiter()), (f"10.0.{n % 256}.{n // 256}", "app"))
    honest = Waiter()
    waiting.wait(cast(Any, honest), ("192.0.2.1", "app"))
    loop.run_to(0.2)
    assert honest.outcome == "turn"


def no_turn(monkeypatch: pytest.MonkeyPatch, node: MadeUpNode, logins: Any) -> None:
    """Every login has to wait, and waits with `logins`."""
    monkeypatch.setattr(node.access.throttle, "admits", lambda key: False)
    node.clients.logins = logins


def test_a_login_that_is_refused_at_once_is_answered_after_what_came_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else its error is taken for the answer of a command that is executed."""

    class Full:
        def wait(self, connection: ClientConnection, key: object) -> None:
            connection.login_refused(end=True)

    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        no_turn(monkeypatch, node, Full())
        connection.data_received(
            request(b"ECHO", b"1") + request(b"AUTH", b"u", b"p") + request(b"ECHO", b"2")
        )
        assert wire.written == b"$1\r\n1\r\n-%s\r\n" % THROTTLED
        assert wire.closing

    run(inside)


def test_a_connection_goes_on_after_a_login_that_was_refused_while_an_answer_is_outstanding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def inside() -> None:
        waiting: list[ClientConnection] = []
        node = MadeUpNode()
        connection, wire = node.connect()
        no_turn(monkeypatch, node, SimpleNamespace(wait=lambda waits, _: waiting.append(waits)))
        connection.data_received(request(b"INCRBY", b"k:1", b"1"))
        connection.data_received(request(b"AUTH", b"u", b"p"))
        assert not wire.reading
        waiting[0].login_refused(end=False)
        node.clients.turns._round()
        assert wire.reading
        node.answer()
        assert wire.written == b":1\r\n-%s\r\n" % THROTTLED

    run(inside)
