"""The users of a node at work: who may log in, what each connection may do, and the file that is
read again when it changes.

A connection keeps its user through a change of the file: with other rights at the next command,
with a new password without noticing, and without a name (NOAUTH) when its user is gone or switched
off. So a password is changed without dropping a connection, and a right is taken away at once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Final

from counter_node.counters.replies import Failure
from counter_node.logs import log
from counter_node.resp.actions import NotYet
from counter_node.resp.session import Command, Session
from counter_node.security.acl import DEFAULT, Acl, Catalogue, User
from counter_node.security.limits import Pace
from counter_node.security.refusals import Refusals
from counter_node.security.throttle import Key, Throttle, network
from counter_node.users.file import UsersFile

CHECK_S: Final = 1.0
NOAUTH = Failure(b"NOAUTH Authentication required.")
WRONGPASS = Failure(b"WRONGPASS invalid username-password pair or user is disabled.")
THROTTLED = Failure(
    b"ERR too many wrong passwords, from this address or for this user; try again in some seconds"
)
NO_KEY = Failure(b"NOPERM No permissions to access a key")
NOT_ALL = (
    "NOPERM User {} may not remove counters beyond its patterns of keys; delete its own by name"
)


class Access:
    """Raises AclError when the file cannot be used."""

    def __init__(
        self,
        path: Path | None,
        catalogue: Catalogue,
        refusals: Refusals,
        directory: Path | None = None,
    ) -> None:
        """`directory`: the node's own, for a copy of the users in force."""
        self.catalogue, self._refusals = catalogue, refusals
        self.throttle = Throttle(time.monotonic, secrets.token_bytes(16))
        self.file = UsersFile(path, catalogue, directory)
        self._checked = time.monotonic()
        self.pace = Pace(time.monotonic)
        self._in_force()
        self.reloads = 0
        self.failures = int(bool(self.file.error))
        if self.file.error:
            log.error("the new users are not used: %s", self.file.error)

    @property
    def acl(self) -> Acl:
        """The users in force."""
        return self.file.acl

    def refresh(self, sessions: Callable[[], Iterable[Session]]) -> None:
        """Called at every tick; looks at the disk once a second."""
        now = time.monotonic()
        if now - self._checked < CHECK_S:
            return
        self._checked = now
        if not self.file.changed():
            return
        if self.file.read_again():
            self.reloads += 1
            log.info(
                "users were read again",
                extra={"users": len(self.acl.users), "digest": self.file.digest},
            )
        else:
            self.failures += 1
            log.error("the new users are not used: %s", self.file.error)
        self._in_force()
        for session in sessions():
            if session.access is not None:
                self.settle(session)

    def _in_force(self) -> None:
        self.user_limits = self.acl.user_limits
        """For the log, where this node leads."""
        self.pace.settle(self.acl.users.values())

    # --- connections ------------------------------------------------------------------------------

    def settle(self, session: Session) -> None:
        """Gives a connection its user as the file has it now; one that never logged in is `default`
        if that needs no password."""
        user = self.acl.users.get(session.logged_in) if session.logged_in else self.acl.open
        self._is(session, user if user is not None and user.enabled else None)

    def reset(self, session: Session) -> None:
        session.logged_in = ""
        self.settle(session)

    def _is(self, session: Session, user: User | None) -> None:
        self._set_rights(session, user)
        session.rights_changed()

    def _set_rights(self, session: Session, user: User | None) -> None:
        session.user = user
        session.guarded, session.pays, session.within = True, False, None
        if user is None:
            return
        free = user.all_keys and user.commands >= self.catalogue.commands
        session.guarded = not free or user.limits is not None
        session.pays = user.limits is not None and user.limits.of_counters
        if self.acl.strict and not user.all_names:
            session.within = [p.text.encode() for p in user.patterns if p.read]

    def log_in(self, session: Session, name: str, password: bytes) -> Failure | None:
        """None when it worked. Raises NotYet while it has to wait for its turn, which
        `session.login_turn` grants."""
        key = self.key(session, name)
        turn, session.login_turn = session.login_turn, False
        if not (turn or self.throttle.admits(key)):
            self._refusals.add("auth_throttled")
            session.login_key = key
            raise NotYet
        user = self.acl.check(name, password)
        if user is None:
            self.throttle.failed(key)
            self._refusals.add("auth_failed")
            log.debug("a login failed", extra={"address": key[0]})
            return WRONGPASS
        self.throttle.succeeded(key)
        session.logged_in = user.name
        self._is(session, user)
        return None

    def key(self, session: Session, name: str) -> Key:
        return network(session.peer.rpartition(":")[0]), name if name in self.acl.users else ""

    @property
    def without_password(self) -> bool:
        return self.acl.users[DEFAULT].no_password

    # --- commands ---------------------------------------------------------------------------------

    def too_fast(self, session: Session, command: Command) -> Failure | None:
        """Of a command that comes, which counts for its user: why it is not taken, if so."""
        refused = None if command.before_login else self.pace.refusal(session.user)
        if refused is not None:
            self._refusals.add("user_limit")
        return refused

    def refusal(self, session: Session, command: Command, words: list[bytes]) -> Failure | None:
        """Why this command may not be executed, or None. Only asked for connections that are
        `guarded`."""
        steps = self.judge(session, command, words)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    def judge(
        self, session: Session, command: Command, words: list[bytes]
    ) -> Generator[None, None, Failure | None]:
        """The same, with pauses where there are many keys."""
        if command.before_login:
            return None
        user = session.user
        if user is None:
            self._refusals.add("auth_missing")
            return NOAUTH
        name = command.name
        if (
            len(words) > 1
            and (full := f"{name}|{words[1].decode('latin-1').lower()}") in self.catalogue.commands
        ):
            name = full
        if name not in user.commands:
            self._refusals.add("permission")
            return Failure(
                f"NOPERM User {user.name} has no permissions to run the '{name}' command".encode()
            )
        if not user.all_keys and (keys := command.keys_in(words)):
            reads, writes = command.answers_with_value(words), not command.only_reads
            if not (yield from user.judge(keys, read=reads, write=writes)):
                self._refusals.add("permission")
                return NO_KEY
        if command.removes_all and self.acl.strict and not user.all_keys:
            self._refusals.add("permission")
            return Failure(NOT_ALL.format(user.name).encode())
        if not command.inner_at:
            return None
        words = words[command.inner_at :]
        inner = session.commands.get(words[0].upper()) if words else None
        if inner is None or inner.inner_at:
            return None
        return (yield from self.judge(session, inner, words))
