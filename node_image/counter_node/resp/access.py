"""AUTH, HELLO's AUTH and the ACL commands that only look. What is changed is the file
(security/acl.py), so that every node has the same users."""

from __future__ import annotations

from counter_node.counters.replies import OK, Failure, Set
from counter_node.resp.actions import Action, Refusal, Reply
from counter_node.resp.arguments import SYNTAX
from counter_node.resp.session import Session, Subcommand
from counter_node.resp.subcommands import ContainerCommand

NOTHING_TO_GIVE = (
    "ERR AUTH <password> called without any password configured for the default "
    "user. Are you sure your configuration is correct?"
)
HELLO_FIRST = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
    "<proto> AUTH <user> <pass> option can be used "
    "to authenticate the client and select the RESP protocol version at the same time"
)


def log_in(session: Session, user: bytes, password: bytes) -> None:
    """Raises Refusal. Without users (a session of the admin port) everybody is `default`."""
    if session.access is None:
        failure = (
            None
            if user == b"default"
            else Failure(b"WRONGPASS invalid username-password pair or user is disabled.")
        )
    else:
        failure = session.access.log_in(session, user.decode("latin-1"), password)
    if failure is not None:
        raise Refusal(failure)


def auth(session: Session, words: list[bytes]) -> Action:
    if len(words) > 3:
        raise Refusal(SYNTAX)
    if len(words) == 2 and (session.access is None or session.access.without_password):
        raise Refusal(NOTHING_TO_GIVE)
    log_in(session, words[1] if len(words) == 3 else b"default", words[-1])
    return Reply(OK)


def _whoami(session: Session, words: list[bytes]) -> Action:
    return Reply(session.user_name.encode())


def _users(session: Session, words: list[bytes]) -> Action:
    return Reply(
        [name.encode() for name in sorted(session.access.acl.users)]
        if session.access
        else [b"default"]
    )


def _list(session: Session, words: list[bytes]) -> Action:
    return Reply(
        [user.line().encode() for _, user in sorted(session.access.acl.users.items())]
        if session.access
        else []
    )


def _cat(session: Session, words: list[bytes]) -> Action:
    categories = session.access.catalogue.categories if session.access else {}
    if len(words) == 2:
        return Reply([name.encode() for name in sorted(categories)])
    asked = words[2].decode("latin-1").lower()
    if len(words) > 3:
        raise Refusal(SYNTAX)
    if asked not in categories:
        raise Refusal(f"ERR Unknown category '{words[2].decode('latin-1')}'")
    return Reply([name.encode() for name in sorted(categories[asked])])


def _getuser(session: Session, words: list[bytes]) -> Action:
    user = session.access.acl.users.get(words[2].decode("latin-1")) if session.access else None
    if user is None:
        return Reply(None)
    flags = [b"on" if user.enabled else b"off"] + ([b"nopass"] if user.no_password else [])
    return Reply(
        {
            b"flags": Set(flags),
            b"passwords": [h.encode() for h in user.hashes],
            b"commands": " ".join(user.rules).encode(),
            b"keys": " ".join(map(str, user.patterns)).encode(),
            b"channels": b"",
            b"selectors": [],
        }
    )


def _refuse(session: Session, words: list[bytes]) -> Action:
    raise Refusal(
        f"ERR ACL {words[1].decode('latin-1').upper()} is not supported; users come from the "
        f"file that every node reads"
    )


ACL = ContainerCommand(
    "acl",
    {
        "WHOAMI": Subcommand(2, _whoami, ": The user of this connection."),
        "USERS": Subcommand(2, _users, ": The names of all users.", admin=True),
        "LIST": Subcommand(2, _list, ": All users with their rules.", admin=True),
        "CAT": Subcommand(-2, _cat, "[<category>]: All categories, or the commands of one."),
        "GETUSER": Subcommand(3, _getuser, "<user>: The rules of a user.", admin=True),
        "SETUSER": Subcommand(
            -3, _refuse, "<user> [<rule> ...]: Refused; users come from a file.", admin=True
        ),
        "DELUSER": Subcommand(
            -3, _refuse, "<user> [<user> ...]: Refused; users come from a file.", admin=True
        ),
        "LOAD": Subcommand(
            2, _refuse, ": Refused; the file is read again when it changes.", admin=True
        ),
        "SAVE": Subcommand(2, _refuse, ": Refused; users come from a file.", admin=True),
    },
)
