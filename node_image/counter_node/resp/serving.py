"""Commands about the connection and transactions. What only the node knows becomes a
NodeQuestion."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from counter_node.counters.replies import OK, Set, Simple
from counter_node.resp import access, transactions
from counter_node.resp.actions import Action, Close, NodeQuestion, Refusal, Reply, Slow, Steps
from counter_node.resp.arguments import SYNTAX, Options, integer, keys
from counter_node.resp.session import Session, Subcommand
from counter_node.resp.subcommands import ContainerCommand

VERSION = b"7.2.4"
"""The version of Redis whose replies these are; clients choose their commands by it."""
MAX_NAME_BYTES: Final = 256


def ok(_: Session, words: list[bytes]) -> Action:
    return Reply(OK)


def ask_node(session: Session, words: list[bytes]) -> Action:
    return NodeQuestion(words[0].decode("latin-1").lower(), words)


def multi(session: Session, words: list[bytes]) -> Action:
    return transactions.multi(session)


def execute(session: Session, words: list[bytes]) -> Action | Slow:
    return transactions.execute(session)


def discard(session: Session, words: list[bytes]) -> Action:
    return transactions.discard(session)


def watch(session: Session, words: list[bytes]) -> Action:
    return transactions.watch(session, keys(words[1:]))


def unwatch(session: Session, words: list[bytes]) -> Action:
    return transactions.unwatch(session)


def ping(session: Session, words: list[bytes]) -> Action:
    if len(words) > 2:
        raise Refusal("ERR wrong number of arguments for 'ping' command")
    return Reply(words[1] if len(words) == 2 else Simple("PONG"))


def echo(session: Session, words: list[bytes]) -> Action:
    return Reply(words[1])


def select(session: Session, words: list[bytes]) -> Action:
    if integer(words[1]) != 0:
        raise Refusal("ERR DB index is out of range")
    return Reply(OK)


def reset(session: Session, words: list[bytes]) -> Action:
    session.reset()
    return transactions.unwatched(session, Simple("RESET"))


def quit_(session: Session, words: list[bytes]) -> Action:
    return Close(OK)


def hello(session: Session, words: list[bytes]) -> Action:
    version, name = session.protocol, session.name
    credentials: tuple[bytes, bytes] | None = None
    if len(words) > 1:
        version = integer(words[1], "ERR Protocol version is not an integer or out of range")
        if version not in (2, 3):
            raise Refusal("NOPROTO unsupported protocol version")
    options = Options(words[2:])
    while options:
        option = options.value()
        if option.upper() == b"AUTH" and options.left() >= 2:
            credentials = options.value(), options.value()
        elif option.upper() == b"SETNAME" and options.left() >= 1:
            name = _name(options.value(), "Client names")
        else:
            raise Refusal(f"ERR Syntax error in HELLO option '{option.decode('latin-1')}'")
    if credentials is not None:
        access.log_in(session, *credentials)
    elif session.access is not None and session.user is None:
        raise Refusal(access.HELLO_FIRST)
    session.protocol, session.name = version, name
    return Reply(
        {
            b"server": b"redis",
            b"version": VERSION,
            b"proto": session.protocol,
            b"id": session.number,
            b"mode": b"standalone" if session.cluster is None else b"cluster",
            b"role": b"master"
            if session.cluster is None or session.cluster.leads()
            else b"replica",
            b"modules": [],
        }
    )


# --- CLIENT ---------------------------------------------------------------------------------------


def _name(word: bytes, what: str) -> bytes:
    if any(byte < 33 or byte > 126 for byte in word):
        raise Refusal(f"ERR {what} cannot contain spaces, newlines or special characters.")
    if len(word) > MAX_NAME_BYTES:
        raise Refusal(f"ERR {what} of {len(word)} bytes; at most {MAX_NAME_BYTES}")
    return word


def _client_id(session: Session, words: list[bytes]) -> Action:
    return Reply(session.number)


def _getname(session: Session, words: list[bytes]) -> Action:
    return Reply(session.name or None)


def _setname(session: Session, words: list[bytes]) -> Action:
    session.name = _name(words[2], "Client names")
    return Reply(OK)


def _setinfo(session: Session, words: list[bytes]) -> Action:
    what = words[2].upper()
    if what == b"LIB-NAME":
        session.library = _name(words[3], "lib-name")
    elif what == b"LIB-VER":
        session.library_version = _name(words[3], "lib-ver")
    else:
        raise Refusal(f"ERR Unrecognized option '{words[2].decode('latin-1')}'")
    return Reply(OK)


def _ask_about_clients(session: Session, words: list[bytes]) -> Action:
    return NodeQuestion("client", words)


def _list_clients(session: Session, words: list[bytes]) -> Action | Slow:
    """In slices, as there may be thousands."""
    question = NodeQuestion("client", words)
    found = None if session.ask is None else session.ask(question)
    return Slow(_listed(found)) if isinstance(found, Generator) else question


def _listed(slices: Generator[None, None, Any]) -> Steps:
    return Reply((yield from slices))


def _on_or_off(session: Session, words: list[bytes]) -> Action:
    if words[2].upper() not in (b"ON", b"OFF"):
        raise Refusal(SYNTAX)
    return Reply(OK)


def _reply(session: Session, words: list[bytes]) -> Action:
    if words[2].upper() in (b"OFF", b"SKIP"):
        raise Refusal("ERR CLIENT REPLY OFF and SKIP are not supported; every command is answered")
    if words[2].upper() != b"ON":
        raise Refusal(SYNTAX)
    return Reply(OK)


def _tracking(session: Session, words: list[bytes]) -> Action:
    switch = words[2].upper()
    if switch not in (b"ON", b"OFF") or any(
        word.upper() not in _TRACKING_OPTIONS for word in words[3:]
    ):
        raise Refusal(SYNTAX)
    if switch == b"ON":
        raise Refusal("ERR CLIENT TRACKING is not supported; read from the cache, or from any node")
    return Reply(OK)


_TRACKING_OPTIONS = frozenset({b"OPTIN", b"OPTOUT", b"BCAST", b"NOLOOP"})


def _caching(session: Session, words: list[bytes]) -> Action:
    raise Refusal(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
        "OPTOUT mode enabled"
    )


def _unblock(session: Session, words: list[bytes]) -> Action:
    if len(words) > 4 or (len(words) == 4 and words[3].upper() not in (b"TIMEOUT", b"ERROR")):
        raise Refusal("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    integer(words[2])
    return Reply(0)


def _trackinginfo(session: Session, words: list[bytes]) -> Action:
    return Reply({b"flags": Set([b"off"]), b"redirect": -1, b"prefixes": []})


def _getredir(session: Session, words: list[bytes]) -> Action:
    return Reply(-1)


CLIENT = ContainerCommand(
    "client",
    {
        "ID": Subcommand(2, _client_id, ": The number of this connection on this node."),
        "GETNAME": Subcommand(2, _getname, ": The name of this connection."),
        "SETNAME": Subcommand(3, _setname, "<name>: Name this connection."),
        "SETINFO": Subcommand(4, _setinfo, "<LIB-NAME|LIB-VER> <value>: Name the client library."),
        "INFO": Subcommand(2, _ask_about_clients, ": This connection in one line."),
        "LIST": Subcommand(
            -2,
            _list_clients,
            "[TYPE <type> | ID <id> ...]: All connections of this node.",
            admin=True,
        ),
        "KILL": Subcommand(
            -3,
            _ask_about_clients,
            "<ip:port> | ID <id> ADDR <ip:port> LADDR <ip:port> TYPE <type> USER <user> MAXAGE "
            "<s> SKIPME <yes|no>: End connections of this node.",
            admin=True,
        ),
        "NO-EVICT": Subcommand(3, _on_or_off, "<ON|OFF>: Accepted; no connection is ever evicted."),
        "NO-TOUCH": Subcommand(3, _on_or_off, "<ON|OFF>: Accepted; no key is ever evicted."),
        "REPLY": Subcommand(3, _reply, "<ON>: Every command is answered."),
        "TRACKING": Subcommand(-3, _tracking, "<OFF>: There is no tracking; ON is refused."),
        "TRACKINGINFO": Subcommand(2, _trackinginfo, ": That there is no tracking."),
        "CACHING": Subcommand(3, _caching, ": Refused, as there is no tracking."),
        "UNBLOCK": Subcommand(-3, _unblock, "<id> [TIMEOUT|ERROR]: 0, as no command blocks."),
        "GETREDIR": Subcommand(2, _getredir, ": -1, as there is no tracking."),
    },
)
