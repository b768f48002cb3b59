"""COMMAND and CONFIG: what tools and clients ask a server about itself. All of it comes from the
table of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from counter_node.counters.keyspace import matching
from counter_node.counters.replies import OK, Fixed, Set, Simple
from counter_node.resp.actions import Action, Refusal, Reply
from counter_node.resp.arguments import SYNTAX
from counter_node.resp.categories import categories
from counter_node.resp.limits import MAX_REQUEST_BYTES
from counter_node.resp.session import Command, Session, Subcommand, fits
from counter_node.resp.subcommands import ContainerCommand

CONFIG_VALUES = {
    b"save": b"",
    b"appendonly": b"yes",
    b"appendfsync": b"always",
    b"databases": b"1",
    b"maxmemory": b"0",
    b"maxmemory-policy": b"noeviction",
    b"timeout": b"0",
    b"cluster-enabled": b"no",
    b"daemonize": b"no",
    b"replicaof": b"",
    b"slaveof": b"",
    b"proto-max-bulk-len": b"%d" % MAX_REQUEST_BYTES,
}
"""What redis-benchmark and others look at, as it would be for a Redis that behaves like this
node."""


# --- COMMAND --------------------------------------------------------------------------------------


def _public(session: Session) -> dict[str, Command]:
    return {command.name: command for command in session.commands.values()}


def _asked(session: Session, words: list[bytes]) -> list[tuple[str, Command | None]]:
    public = _public(session)
    names = [word.decode("latin-1").lower() for word in words[2:]] or list(public)
    return [(name, public.get(name)) for name in names]


def _count(session: Session, words: list[bytes]) -> Action:
    return Reply(len(_public(session)))


def _list(session: Session, words: list[bytes]) -> Action:
    names = [name.encode() for name in _public(session)]
    if len(words) == 2:
        return Reply(Set(names))
    if len(words) != 5 or words[2].upper() != b"FILTERBY":
        raise Refusal(SYNTAX)
    kind, wanted = words[3].upper(), words[4]
    if kind == b"PATTERN":
        return Reply(Set(matching(names, wanted.lower())))
    if kind == b"ACLCAT":
        text = "@" + wanted.decode("latin-1").lower()
        return Reply(
            Set(
                name.encode()
                for name, command in _public(session).items()
                if text in _categories(command)
            )
        )
    if kind == b"MODULE":
        return Reply(Set())
    raise Refusal(SYNTAX)


_FIXED: dict[tuple[str, bool], Fixed] = {}
"""What all commands are, and what they do, on the clients' and on the admin port: it takes a
millisecond to make, and whoever asks without end would keep others waiting."""


def _of_all(what: str, session: Session, make: Callable[[], Any]) -> Action:
    found = _FIXED.get((what, session.admin))
    if found is None:
        found = _FIXED[what, session.admin] = Fixed(make())
    return Reply(found)


def _info(session: Session, words: list[bytes]) -> Action:
    if len(words) < 3:
        return _of_all("info", session, lambda: [describe(c) for c in _public(session).values()])
    return Reply(
        [None if command is None else describe(command) for _, command in _asked(session, words)]
    )


def _documented(session: Session) -> dict[bytes, Any]:
    return {name.encode(): _documentation(command) for name, command in _public(session).items()}


def _docs(session: Session, words: list[bytes]) -> Action:
    if len(words) == 2:
        return _of_all("docs", session, lambda: _documented(session))
    return Reply(
        {
            name.encode(): _documentation(command)
            for name, command in _asked(session, words)
            if command is not None
        }
    )


def _getkeys(session: Session, words: list[bytes]) -> Action:
    return Reply(_keys_of(session, words[2:])[1])


def _getkeysandflags(session: Session, words: list[bytes]) -> Action:
    command, keys = _keys_of(session, words[2:])
    return Reply([[key, Set(_key_flags(command))] for key in keys])


def _keys_of(session: Session, words: list[bytes]) -> tuple[Command, list[bytes]]:
    command = _public(session).get(words[0].decode("latin-1").lower())
    if command is None:
        raise Refusal("ERR Invalid command specified")
    if not command.has_keys:
        raise Refusal("ERR The command has no key arguments")
    if not fits(command.arity, len(words)):
        raise Refusal("ERR Invalid number of arguments specified for command")
    return command, command.keys_in(words)


def describe(command: Command) -> list[Any]:
    """One element of COMMAND INFO."""
    first, last, step = command.keys
    flags = Set(Simple(flag) for flag in command.flags.split())
    categories = Set(map(Simple, _categories(command)))
    return [
        command.name.encode(),
        command.arity,
        flags,
        first,
        last,
        step,
        categories,
        Set(),
        Set(_key_specs(command)),
        [],
    ]


def _categories(command: Command) -> list[str]:
    return [f"@{category}" for category in categories(command)]


def _key_flags(command: Command) -> list[Simple]:
    if command.only_reads:
        return [Simple("RO"), Simple("access")]
    return [Simple("RW"), Simple("access"), Simple("update")]


def _key_specs(command: Command) -> list[Any]:
    first, last, step = command.keys
    if command.keys_counted_at:
        return [
            {
                b"flags": Set(_key_flags(command)),
                b"begin_search": {
                    b"type": b"index",
                    b"spec": {b"index": command.keys_counted_at},
                },
                b"find_keys": {
                    b"type": b"keynum",
                    b"spec": {b"keynumidx": 0, b"firstkey": 1, b"keystep": 1},
                },
            }
        ]
    if not first:
        return []
    where = {b"lastkey": last if last < 0 else last - first, b"keystep": step, b"limit": 0}
    return [
        {
            b"flags": Set(_key_flags(command)),
            b"begin_search": {b"type": b"index", b"spec": {b"index": first}},
            b"find_keys": {b"type": b"range", b"spec": where},
        }
    ]


def _documentation(command: Command) -> dict[bytes, Any]:
    text = {
        b"summary": command.summary.encode(),
        b"since": command.since.encode(),
        b"group": command.group.encode(),
    }
    return {**text, b"syntax": f"{command.name.upper()} {command.syntax}".strip().encode()}


COMMAND = ContainerCommand(
    "command",
    {
        "COUNT": Subcommand(2, _count, ": How many commands there are."),
        "LIST": Subcommand(
            -2,
            _list,
            "[FILTERBY (PATTERN <pattern>|ACLCAT <category>|MODULE <name>)]: Their names.",
        ),
        "INFO": Subcommand(-2, _info, "[<command> ...]: Arity, flags and keys."),
        "DOCS": Subcommand(-2, _docs, "[<command> ...]: What they do."),
        "GETKEYS": Subcommand(-3, _getkeys, "<command> [<arg> ...]: The keys in a command."),
        "GETKEYSANDFLAGS": Subcommand(
            -3,
            _getkeysandflags,
            "<command> [<arg> ...]: The keys in a command, and what happens to them.",
        ),
    },
    alone=_info,
)


# --- CONFIG ---------------------------------------------------------------------------------------


def _get(session: Session, words: list[bytes]) -> Action:
    names = {name for word in words[2:] for name in matching(CONFIG_VALUES, word.lower())}
    return Reply({name: value for name, value in CONFIG_VALUES.items() if name in names})


def _set(session: Session, words: list[bytes]) -> Action:
    """Nothing can be set: in Redis's words for settings that only its start decides."""
    if len(words) % 2:
        raise Refusal(SYNTAX)
    seen: set[bytes] = set()
    for name in words[2::2]:
        text = name.decode("latin-1")
        if name.lower() not in CONFIG_VALUES:
            raise Refusal(f"ERR Unknown option or number of arguments for CONFIG SET - '{text}'")
        if name.lower() in seen:
            raise Refusal(
                f"ERR CONFIG SET failed (possibly related to argument '{text}') - duplicate "
                f"parameter"
            )
        seen.add(name.lower())
    text = words[2].decode("latin-1")
    raise Refusal(
        f"ERR CONFIG SET failed (possibly related to argument '{text}') - can't set immutable "
        f"config; it comes from the CounterCluster resource"
    )


def _refuse(session: Session, words: list[bytes]) -> Action:
    raise Refusal(
        f"ERR CONFIG {words[1].decode('latin-1').upper()} is not supported; settings come from "
        f"the CounterCluster resource"
    )


CONFIG = ContainerCommand(
    "config",
    {
        "GET": Subcommand(
            -3, _get, "<pattern> [<pattern> ...]: The settings that clients ask for.", admin=True
        ),
        "SET": Subcommand(
            -4,
            _set,
            "<directive> <value>: Refused; settings come from the CounterCluster resource.",
            admin=True,
        ),
        "RESETSTAT": Subcommand(
            2, _refuse, ": Refused; the metrics of a node only grow.", admin=True
        ),
        "REWRITE": Subcommand(2, _refuse, ": Refused; there is no file.", admin=True),
    },
)


# --- FUNCTION -------------------------------------------------------------------------------------


def _no_functions(session: Session, words: list[bytes]) -> Action:
    return Reply(OK)


def _no_libraries(session: Session, words: list[bytes]) -> Action:
    return Reply([])


FUNCTION = ContainerCommand(
    "function",
    {
        "FLUSH": Subcommand(-2, _no_functions, "[ASYNC|SYNC]: OK, as there are none."),
        "LIST": Subcommand(-2, _no_libraries, "[options]: An empty list, as there are none."),
    },
)
"""What tools call to bring any server into its first state."""
