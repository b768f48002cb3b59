"""Breakages of TLS, users, limits and the throttle."""

from __future__ import annotations

from typing import Any

import uvloop.loop
from counter_node.resp import dispatch
from counter_node.resp.session import Command, Session
from counter_node.security import sliced_tls, tls
from counter_node.security.acl import Acl
from counter_node.security.limits import Pace
from counter_node.security.throttle import Throttle

from tests.mutations.breakage import Patch, mutation


@mutation("any suite of TLS 1.2 will do", tests=("tests/unit/security/test_suites.py",))
def any_suite(patch: Patch) -> None:
    patch(tls, "SUITES_OF_1_2", "DEFAULT")


@mutation(
    "a file of users without `default` gives everybody everything",
    tests=("tests/unit/security/test_users_file.py",),
)
def open_without_a_rule(patch: Patch) -> None:
    right = Acl.__init__
    patch(Acl, "__init__", lambda self, text, catalogue: right(self, text or None, catalogue))


@mutation(
    "many addresses make the throttle forget one", tests=("tests/unit/security/test_throttle.py",)
)
def throttle_forgets(patch: Patch) -> None:
    patch(Throttle, "_cell", lambda self, what: 0 if what.startswith("u") else 1)


@mutation("a user may be as fast as it likes", tests=("tests/unit/security/test_limits.py",))
def nobody_is_too_fast(patch: Patch) -> None:
    patch(Pace, "refusal", lambda self, user: None)


@mutation(
    "a login in a transaction makes another pay for it",
    tests=("tests/unit/security/test_limits.py",),
)
def another_pays(patch: Patch) -> None:
    original = dispatch._admitted

    def admitted(session: Session, command: Command, words: list[bytes]) -> Any:
        before, session.pays = (session.user_name, session.pays), False
        action = original(session, command, words)
        if session.user_name == before[0]:
            session.pays = before[1]
        if not session.pays:
            return action
        return dispatch._paid(action, session.user_name.encode())  # type: ignore[arg-type]

    patch(dispatch, "_admitted", admitted)


@mutation("who may write a counter may read it", tests=("tests/unit/security/test_acl.py",))
def writers_read(patch: Patch) -> None:
    patch(Command, "answers_with_value", lambda self, words: self.only_reads)


@mutation(
    "TLS is deciphered as it comes, whoever sends it",
    tests=("tests/unit/security/test_sliced_tls.py",),
)
def tls_in_one_piece(patch: Patch) -> None:
    patch(sliced_tls, "AT_ONCE_BYTES", 1 << 30)


@mutation(
    "what TLS reads at once has no bound",
    tests=("tests/unit/security/test_sliced_tls.py",),
)
def tls_without_slices(patch: Patch) -> None:
    patch(sliced_tls, "MOST_BYTES", 1 << 18)


@mutation(
    "a closed connection waits half a minute for its client's leave",
    tests=("tests/unit/security/test_sliced_tls.py",),
)
def long_leave(patch: Patch) -> None:
    right = uvloop.loop.SSLProtocol

    def patient(*words: Any, ssl_shutdown_timeout: float, **more: Any) -> Any:
        return right(*words, **more)

    patch(uvloop.loop, "SSLProtocol", patient)


@mutation(
    "rights are asked of words that are not there",
    tests=("tests/unit/security/test_acl.py", "tests/unit/resp/test_fuzz.py"),
)
def words_that_are_not_there(patch: Patch) -> None:
    original = Command.keys_in

    def keys_in(self: Command, words: list[bytes]) -> list[bytes]:
        return original(self, words) if words[self.keys_counted_at :] else [words[9_999]]

    patch(Command, "keys_in", keys_in)
