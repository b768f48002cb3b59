"""Commands about the connection, transactions and the server. What only the node knows becomes a NodeQuestion."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Any

from counter_node.counters.replies import OK, Failure, Simple
from counter_node.resp.actions import Action, Close, NodeQuestion, Refusal, Reply
from counter_node.resp.arguments import SYNTAX, Options

if TYPE_CHECKING:
    from counter_node.resp.commands import Command
    from counter_node.resp.session import Session

VERSION = b"7.2.4"
"""The version of Redis whose replies these are; clients choose their commands by it."""

CONFIG = {
    b"save": b"",
    b"appendonly": b"yes",
    b"appendfsync": b"always",
    b"databases": b"1",
    b"maxmemory": b"0",
    b"maxmemory-policy": b"noeviction",
    b"timeout": b"0",
    b"cluster-enabled": b"no",
    b"proto-max-bulk-len": b"4194304",
}


def ok(_: Session, words: list[bytes]) -> Action:
    return Reply(OK)


def ask_node(session: Session, words: list[bytes]) -> Action:
    return NodeQuestion(words[0].decode("latin-1").lower(), words)


def multi(session: Session, words: list[bytes]) -> Action:
    return session.multi()


def execute(session: Session, words: list[bytes]) -> Action:
    return session.execute()


def discard(session: Session, words: list[bytes]) -> Action:
    return session.discard()


def watch(session: Session, words: list[bytes]) -> Action:
    raise Refusal("ERR WATCH is not supported; use SET key value IFEQ expected to compare and set")


def ping(session: Session, words: list[bytes]) -> Action:
    if len(words) > 2:
        raise Refusal("ERR wrong number of arguments for 'ping' command")
    return Reply(words[1] if len(words) == 2 else Simple("PONG"))


def echo(session: Session, words: list[bytes]) -> Action:
    return Reply(words[1])


def select(session: Session, words: list[bytes]) -> Action:
    if not words[1].lstrip(b"-").isdigit():
        raise Refusal("ERR value is not an integer or out of range")
    if int(words[1]) != 0:
        raise Refusal("ERR DB index is out of range")
    return Reply(OK)


def reset(session: Session, words: list[bytes]) -> Action:
    return session.reset()


def quit_(session: Session, words: list[bytes]) -> Action:
    return Close(OK)


def auth(session: Session, words: list[bytes]) -> Action:
    if len(words) > 3:
        raise Refusal(SYNTAX)
    if len(words) == 3:
        return Reply(OK if words[1] == b"default" else Failure(b"WRONGPASS invalid username-password pair or user is disabled."))
    text = "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
    raise Refusal(text)


def hello(session: Session, words: list[bytes]) -> Action:
    if len(words) > 1:
        if words[1] not in (b"2", b"3"):
            raise Refusal("NOPROTO unsupported protocol version" if words[1].isdigit() else "ERR Protocol version is not an integer or out of range")
        options = Options(words[2:])
        name = session.name
        while options:
            option = options.word()
            if option == b"AUTH":
                if options.value() != b"default":
                    raise Refusal("WRONGPASS invalid username-password pair or user is disabled.")
                options.value()
            elif option == b"SETNAME":
                name = _name(options.value())
            else:
                raise Refusal(f"ERR Syntax error in HELLO option '{option.decode('latin-1').lower()}'")
        session.protocol, session.name = int(words[1]), name
    return Reply(
        {
            b"server": b"redis",
            b"version": VERSION,
            b"proto": session.protocol,
            b"id": session.number,
            b"mode": b"standalone",
            b"role": b"master",
            b"modules": [],
        }
    )


def _name(word: bytes) -> bytes:
    if any(byte < 33 or byte > 126 for byte in word):
        raise Refusal("ERR Client names cannot contain spaces, newlines or special characters.")
    return word


def client(session: Session, words: list[bytes]) -> Action:
    what = words[1].upper()
    count = len(words)
    if what == b"ID" and count == 2:
        return Reply(session.number)
    if what == b"GETNAME" and count == 2:
        return Reply(session.name or None)
    if what == b"SETNAME" and count == 3:
        session.name = _name(words[2])
        return Reply(OK)
    if what == b"SETINFO" and count == 4:
        return _set_info(session, words[2].upper(), words[3])
    if what in (b"NO-EVICT", b"NO-TOUCH") and count == 3 and words[2].upper() in (b"ON", b"OFF"):
        return Reply(OK)
    if what == b"INFO" and count == 2:
        return Reply(session.description().encode() + b"\n")
    if what in (b"LIST", b"KILL"):
        return NodeQuestion("client", words)
    raise Refusal(f"ERR unknown subcommand '{words[1].decode('latin-1')}'. Try CLIENT HELP.")


def _set_info(session: Session, what: bytes, value: bytes) -> Action:
    if what == b"LIB-NAME":
        session.library = _name(value)
    elif what == b"LIB-VER":
        session.library_version = _name(value)
    else:
        raise Refusal(f"ERR Unrecognized option '{what.decode('latin-1')}'")
    return Reply(OK)


def config(session: Session, words: list[bytes]) -> Action:
    what = words[1].upper()
    if what == b"GET" and len(words) > 2:
        patterns = [word.decode("latin-1").lower() for word in words[2:]]
        return Reply({k: v for k, v in CONFIG.items() if any(fnmatch.fnmatchcase(k.decode(), p) for p in patterns)})
    if what in (b"SET", b"REWRITE", b"RESETSTAT"):
        raise Refusal(f"ERR CONFIG {what.decode()} is not supported; settings come from the CounterCluster resource")
    raise Refusal(f"ERR unknown subcommand '{words[1].decode('latin-1')}'. Try CONFIG HELP.")


def command(session: Session, words: list[bytes]) -> Action:
    from counter_node.resp.commands import TABLE  # the table names this function

    public = {c.name: c for c in TABLE.values() if not c.admin_only or session.admin}
    what = words[1].upper() if len(words) > 1 else b"INFO"
    if what == b"COUNT":
        return Reply(len(public))
    if what == b"LIST":
        return Reply([name.encode() for name in public])
    asked = [w.decode("latin-1").lower() for w in words[2:]] or list(public)
    if what == b"INFO":
        return Reply([_info(public[name]) if name in public else None for name in asked])
    if what == b"DOCS":
        return Reply({name.encode(): _docs(public[name]) for name in asked if name in public})
    if what == b"GETKEYS" and len(words) > 2:
        return Reply(_getkeys(public.get(asked[0]), words[2:]))
    raise Refusal(f"ERR unknown subcommand '{words[1].decode('latin-1')}'. Try COMMAND HELP.")


def _info(c: Command) -> list[Any]:
    first, last, step = c.keys
    access = b"@write" if "write" in c.flags else b"@read" if "readonly" in c.flags else b"@connection"
    return [c.name.encode(), c.arity, [Simple(f) for f in c.flags.split()], first, last, step, [Simple(access.decode())], [], [], []]


def _docs(c: Command) -> dict[bytes, Any]:
    return {b"summary": c.summary.encode(), b"since": b"1.0.0", b"group": c.group.encode(), b"complexity": b"O(1)"}


def _getkeys(c: Command | None, words: list[bytes]) -> Any:
    if c is None:
        return Failure(b"ERR Invalid command specified")
    first, last, step = c.keys
    if not first:
        return Failure(b"ERR The command has no key arguments")
    return words[first : (len(words) if last < 0 else last + 1) : step]
