"""THE table of commands. COMMAND, the reference page and the dispatch all come from it.

`take` turns the words of a command (their number is checked already) into an action; it raises
Refusal for what is wrong with them. Keyed commands are in keyed.py, those about the connection in
serving.py, those about the server itself in introspection.py. RAFT.* exist on the admin port only.
"""

from __future__ import annotations

from counter_node.resp import access, cluster, introspection, keyed, serving
from counter_node.resp.categories import ADMIN_MEMBERS, categories
from counter_node.resp.session import Command
from counter_node.security.acl import Catalogue

_FAMILIES = (
    access.ACL,
    serving.CLIENT,
    cluster.CLUSTER,
    introspection.COMMAND,
    introspection.CONFIG,
    introspection.FUNCTION,
)
NO_KEYS, ONE_KEY, ALL_KEYS, PAIRS = (0, 0, 0), (1, 1, 1), (1, -1, 1), (1, -1, 2)

_KEYED = [
    (
        "incr",
        2,
        "write denyoom fast",
        ONE_KEY,
        "key",
        "Adds one; the reply is the new value.",
        keyed.incr,
    ),
    ("decr", 2, "write denyoom fast", ONE_KEY, "key", "Subtracts one.", keyed.decr),
    ("incrby", 3, "write denyoom fast", ONE_KEY, "key increment", "Adds an integer.", keyed.incrby),
    (
        "decrby",
        3,
        "write denyoom fast",
        ONE_KEY,
        "key decrement",
        "Subtracts an integer.",
        keyed.decrby,
    ),
    (
        "increx",
        -2,
        "write denyoom fast",
        ONE_KEY,
        "key [BYINT n] [LBOUND n] [UBOUND n] [SATURATE] [NX | XX] [EX s | PX ms | EXAT s | PXAT "
        "ms | PERSIST] [ENX]",
        "Adds within bounds; the reply is the new value and what was really added. Out of bounds "
        "adds nothing, or with SATURATE up to the bound.",
        keyed.increx,
    ),
    (
        "get",
        2,
        "readonly fast",
        ONE_KEY,
        "key",
        "The value, linearizable on every node.",
        keyed.get,
    ),
    (
        "set",
        -3,
        "write denyoom",
        ONE_KEY,
        "key integer [NX | XX | IFEQ n | IFNE n] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]",
        "Sets a counter. The value must be an integer.",
        keyed.set_,
    ),
    (
        "getset",
        3,
        "write denyoom fast",
        ONE_KEY,
        "key integer",
        "Sets a counter; the reply is the old value.",
        keyed.getset,
    ),
    (
        "getdel",
        2,
        "write fast",
        ONE_KEY,
        "key",
        "The value; the key is gone afterwards.",
        keyed.getdel,
    ),
    (
        "getex",
        -2,
        "write fast",
        ONE_KEY,
        "key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]",
        "The value; sets or clears its expiry.",
        keyed.getex,
    ),
    (
        "setnx",
        3,
        "write denyoom fast",
        ONE_KEY,
        "key integer",
        "Sets a counter that does not exist.",
        keyed.setnx,
    ),
    (
        "setex",
        4,
        "write denyoom",
        ONE_KEY,
        "key seconds integer",
        "Sets a counter that expires.",
        keyed.setex,
    ),
    (
        "psetex",
        4,
        "write denyoom",
        ONE_KEY,
        "key milliseconds integer",
        "Sets a counter that expires.",
        keyed.psetex,
    ),
    (
        "mget",
        -2,
        "readonly fast",
        ALL_KEYS,
        "key [key …]",
        "Several values of one moment.",
        keyed.mget,
    ),
    (
        "mset",
        -3,
        "write denyoom",
        PAIRS,
        "key integer [key integer …]",
        "Sets several counters in one step.",
        keyed.mset,
    ),
    (
        "msetnx",
        -3,
        "write denyoom",
        PAIRS,
        "key integer [key integer …]",
        "Sets several counters if none exists.",
        keyed.msetnx,
    ),
    ("del", -2, "write", ALL_KEYS, "key [key …]", "Removes counters.", keyed.delete),
    ("unlink", -2, "write fast", ALL_KEYS, "key [key …]", "The same as DEL.", keyed.delete),
    (
        "exists",
        -2,
        "readonly fast",
        ALL_KEYS,
        "key [key …]",
        "How many of the keys exist.",
        keyed.exists,
    ),
    ("touch", -2, "readonly fast", ALL_KEYS, "key [key …]", "The same as EXISTS.", keyed.exists),
    (
        "strlen",
        2,
        "readonly fast",
        ONE_KEY,
        "key",
        "How many characters the value has when written out.",
        keyed.strlen,
    ),
    ("type", 2, "readonly fast", ONE_KEY, "key", "`string`, or `none`.", keyed.type_),
    (
        "expire",
        -3,
        "write fast",
        ONE_KEY,
        "key seconds [NX | XX | GT | LT]",
        "Expires by the time in the log.",
        keyed.expire,
    ),
    (
        "pexpire",
        -3,
        "write fast",
        ONE_KEY,
        "key milliseconds [NX | XX | GT | LT]",
        "The same in ms.",
        keyed.pexpire,
    ),
    (
        "expireat",
        -3,
        "write fast",
        ONE_KEY,
        "key unix-seconds [NX | XX | GT | LT]",
        "Expires at a moment.",
        keyed.expireat,
    ),
    (
        "pexpireat",
        -3,
        "write fast",
        ONE_KEY,
        "key unix-ms [NX | XX | GT | LT]",
        "The same in ms.",
        keyed.pexpireat,
    ),
    (
        "ttl",
        2,
        "readonly fast",
        ONE_KEY,
        "key",
        "Seconds left; -1 without expiry, -2 without key.",
        keyed.ttl,
    ),
    ("pttl", 2, "readonly fast", ONE_KEY, "key", "Milliseconds left.", keyed.pttl),
    (
        "expiretime",
        2,
        "readonly fast",
        ONE_KEY,
        "key",
        "The moment of expiry, unix seconds.",
        keyed.expiretime,
    ),
    (
        "pexpiretime",
        2,
        "readonly fast",
        ONE_KEY,
        "key",
        "The moment of expiry, unix ms.",
        keyed.pexpiretime,
    ),
    ("persist", 2, "write fast", ONE_KEY, "key", "Clears the expiry.", keyed.persist),
    (
        "scan",
        -2,
        "readonly",
        NO_KEYS,
        "cursor [MATCH pattern] [COUNT n] [TYPE string]",
        "Keys page by page, stable under writes.",
        keyed.scan,
    ),
    (
        "keys",
        2,
        "readonly",
        NO_KEYS,
        "pattern",
        "All keys that match. Looks at every one, a slice at a time.",
        keyed.keys_,
    ),
    (
        "randomkey",
        1,
        "readonly",
        NO_KEYS,
        "",
        "Some key, or null when there is none.",
        keyed.randomkey,
    ),
    ("dbsize", 1, "readonly fast", NO_KEYS, "", "How many counters there are.", keyed.dbsize),
    ("flushdb", -1, "write", NO_KEYS, "[ASYNC | SYNC]", "Removes every counter.", keyed.flush),
    ("flushall", -1, "write", NO_KEYS, "[ASYNC | SYNC]", "The same as FLUSHDB.", keyed.flush),
    (
        "idmp",
        -4,
        "write denyoom",
        NO_KEYS,
        "producer sequence command [argument …]",
        "Executes the command once, however often it is sent with this sequence. With EXEC the "
        "whole transaction counts once.",
        keyed.idmp,
    ),
]
_SERVING = [
    ("multi", 1, "fast", "transactions", "", "Begins a transaction.", serving.multi),
    ("exec", 1, "", "transactions", "", "Executes it as one entry of the log.", serving.execute),
    ("discard", 1, "fast", "transactions", "", "Forgets it.", serving.discard),
    (
        "watch",
        -2,
        "fast",
        "transactions",
        "key [key …]",
        "EXEC does nothing, and answers null, if one of these changed meanwhile.",
        serving.watch,
    ),
    ("unwatch", 1, "fast", "transactions", "", "Forgets what is watched.", serving.unwatch),
    ("ping", -1, "fast", "connection", "[text]", "PONG, or the text.", serving.ping),
    ("echo", 2, "fast", "connection", "text", "The text.", serving.echo),
    (
        "hello",
        -1,
        "fast",
        "connection",
        "[version [AUTH user password] [SETNAME name]]",
        "Chooses RESP 2 or 3.",
        serving.hello,
    ),
    (
        "auth",
        -2,
        "fast",
        "connection",
        "[user] password",
        "Logs in: as `default`, or as another user.",
        access.auth,
    ),
    (
        "acl",
        -2,
        "",
        "server",
        "subcommand [argument …]",
        "About users; ACL HELP tells more.",
        access.ACL.take,
    ),
    ("select", 2, "fast", "connection", "index", "There is database 0 only.", serving.select),
    (
        "client",
        -2,
        "",
        "connection",
        "subcommand [argument …]",
        "About connections; CLIENT HELP tells more.",
        serving.CLIENT.take,
    ),
    (
        "reset",
        1,
        "fast",
        "connection",
        "",
        "The connection as it was when it began.",
        serving.reset,
    ),
    ("quit", -1, "fast", "connection", "", "OK, and the end.", serving.quit_),
    (
        "readonly",
        1,
        "fast",
        "cluster",
        "",
        "In cluster mode: serve reads here, linearizable, instead of redirecting them.",
        cluster.read_only,
    ),
    ("readwrite", 1, "fast", "cluster", "", "Redirect them again.", cluster.read_write),
    ("asking", 1, "fast", "cluster", "", "OK; no slot is ever on its way.", serving.ok),
    (
        "cluster",
        -2,
        "",
        "cluster",
        "subcommand [argument …]",
        "On the cluster port: who serves; CLUSTER HELP tells more.",
        cluster.CLUSTER.take,
    ),
    (
        "command",
        -1,
        "",
        "server",
        "[subcommand [argument …]]",
        "This table; COMMAND HELP tells more.",
        introspection.command,
    ),
    (
        "config",
        -2,
        "",
        "server",
        "GET pattern [pattern …]",
        "What clients ask for; nothing can be set here.",
        introspection.CONFIG.take,
    ),
    (
        "function",
        -2,
        "",
        "server",
        "FLUSH | LIST",
        "There are no functions; for tools that clear a server.",
        introspection.FUNCTION.take,
    ),
    ("info", -1, "", "server", "[section …]", "About the node.", serving.ask_node),
    (
        "role",
        1,
        "fast",
        "server",
        "",
        "`master`: every node takes writes. INFO raft and CLUSTER SHARDS tell the leader.",
        serving.ask_node,
    ),
    ("time", 1, "fast", "server", "", "The node's clock.", serving.ask_node),
    (
        "wait",
        3,
        "",
        "server",
        "replicas timeout",
        "The voters that have the log: an answer means a majority has it on disk.",
        serving.ask_node,
    ),
    ("lastsave", 1, "fast", "server", "", "Index of the newest snapshot.", serving.ask_node),
]
_ADMIN = [
    ("raft.status", "", "The status object, as JSON."),
    ("raft.bootstrap", "node-id", "Forms a new cluster of this node."),
    ("raft.recover", "node-id", "Gives up a lost majority: this node goes on alone."),
    ("raft.addlearner", "node-id name peer resp", "Adds a member that does not vote."),
    ("raft.promote", "node-id", "Makes a learner a voter."),
    ("raft.remove", "node-id", "Removes a member for good."),
    ("raft.transfer", "node-id", "Hands leadership over."),
    ("raft.snapshot", "", "Takes a snapshot and compacts the log."),
    (
        "raft.time",
        "unix-ms",
        "Sets the calendar: UTC from here on. Every deadline keeps what is left of it.",
    ),
    (
        "raft.witness",
        "name unix-ms error-ms max-jump-ms",
        "Tells a clock beside the members', and how far a jump may go (the operator does).",
    ),
]


_EXPIRY = frozenset(
    {
        "expire",
        "pexpire",
        "expireat",
        "pexpireat",
        "ttl",
        "pttl",
        "expiretime",
        "pexpiretime",
        "persist",
    }
)
_KEYSPACE = frozenset(
    {
        "scan",
        "keys",
        "randomkey",
        "dbsize",
        "flushdb",
        "flushall",
        "exists",
        "touch",
        "del",
        "unlink",
        "type",
    }
)
_AT_ONCE = frozenset({"multi", "exec", "discard", "watch", "reset", "quit", "idmp"})
_DOORS = {
    "acl": access.ACL.door,
    "client": serving.CLIENT.door,
    "cluster": cluster.CLUSTER.door,
    "config": introspection.CONFIG.door,
    "command": introspection.command_door,
    "function": introspection.FUNCTION.door,
}
_SINCE = {
    "increx": "8.8.0", "getdel": "6.2.0", "getex": "6.2.0", "psetex": "2.6.0", "setex": "2.0.0",
    "mset": "1.0.1", "msetnx": "1.0.1",
    "unlink": "4.0.0",
    "pexpire": "2.6.0", "pexpireat": "2.6.0", "expireat": "1.2.0", "pttl": "2.6.0",
    "expiretime": "7.0.0", "pexpiretime": "7.0.0", "persist": "2.2.0",
    "touch": "3.2.1", "strlen": "2.2.0", "scan": "2.8.0", "multi": "1.2.0", "exec": "1.2.0",
    "discard": "2.0.0", "watch": "2.2.0", "unwatch": "2.2.0",
    "hello": "6.0.0", "acl": "6.0.0", "client": "2.4.0", "reset": "6.2.0", "readonly": "3.0.0",
    "readwrite": "3.0.0",
    "asking": "3.0.0", "cluster": "3.0.0", "command": "2.8.13", "config": "2.0.0",
    "role": "2.8.12", "function": "7.0.0", "time": "2.6.0", "wait": "3.0.0",
}  # fmt: skip


def _group(name: str) -> str:
    return "expiry" if name in _EXPIRY else "keyspace" if name in _KEYSPACE else "counters"


def _commands() -> dict[str, Command]:
    rows = [
        (n, a, f, k, _group(n), syntax, text, take, False)
        for n, a, f, k, syntax, text, take in _KEYED
    ]
    rows += [
        (n, a, f, ALL_KEYS if n == "watch" else NO_KEYS, group, syntax, text, take, False)
        for n, a, f, group, syntax, text, take in _SERVING
    ]
    rows += [
        (n, -1, "admin", NO_KEYS, "administration", syntax, text, serving.ask_node, True)
        for n, syntax, text in _ADMIN
    ]
    return {
        row[0]: Command(
            *row,
            at_once=row[0] in _AT_ONCE,
            door=_DOORS.get(row[0]),
            since=_SINCE.get(row[0], "1.0.0"),
        )
        for row in rows
    }


BY_NAME = _commands()
ON_ADMIN_PORT = frozenset({"administration", "connection", "server"})
"""Groups; all but the first are on the clients' port, together with all others."""


def _table(*, admin: bool) -> dict[bytes, Command]:
    """By name as clients spell it; other spellings are put into upper case first."""
    served = [
        command
        for command in BY_NAME.values()
        if (command.group in ON_ADMIN_PORT if admin else not command.admin_only)
    ]
    return {
        word: command
        for command in served
        for word in (command.name.encode(), command.name.upper().encode())
    }


TABLE, ADMIN_TABLE = _table(admin=False), _table(admin=True)


# --- what users may be allowed (security/acl.py) --------------------------------------------------


def _catalogue() -> Catalogue:
    members: dict[str, set[str]] = {}
    names: set[str] = set()
    served = {command.name: command for command in TABLE.values()}
    for command in served.values():
        names.add(command.name)
        for category in categories(command):
            members.setdefault(category, set()).add(command.name)
    for family in _FAMILIES:
        for member in (f"{family.name}|{sub.lower()}" for sub in family.members):
            names.add(member)
            chosen = (
                ["admin", "dangerous", "slow"]
                if member in ADMIN_MEMBERS
                else categories(served[family.name])
            )
            for category in chosen:
                members.setdefault(category, set()).add(member)
    return Catalogue(frozenset(names), {name: frozenset(found) for name, found in members.items()})


CATALOGUE = _catalogue()
