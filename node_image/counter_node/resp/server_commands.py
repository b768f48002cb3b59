"""Rows of the table of commands: transactions, the connection, the cluster, the node.

Their handlers are in serving.py, access.py, cluster.py and introspection.py. RAFT.* exist on the
admin port only; the node answers them (admin/).
"""

from __future__ import annotations

from counter_node.resp import access, cluster, introspection, serving
from counter_node.resp.session import ALL_KEYS, NO_KEYS, Command

# One row tells everything about a command; session.py says what each field means.
# fmt: off
SERVING = [
    Command("multi", 1, "fast", NO_KEYS, "transactions", serving.multi, since="1.2.0",
        at_once=True, summary="Begins a transaction."),
    Command("exec", 1, "", NO_KEYS, "transactions", serving.execute, since="1.2.0", at_once=True,
        summary="Executes it as one entry of the log."),
    Command("discard", 1, "fast", NO_KEYS, "transactions", serving.discard, since="2.0.0",
        at_once=True, summary="Forgets it."),
    Command("watch", -2, "fast", ALL_KEYS, "transactions", serving.watch, since="2.2.0",
        at_once=True, only_reads_keys=True, syntax="key [key …]",
        summary="EXEC does nothing, and answers null, if one of these changed meanwhile."),
    Command("unwatch", 1, "fast", NO_KEYS, "transactions", serving.unwatch, since="2.2.0",
        summary="Forgets what is watched."),
    Command("ping", -1, "fast", NO_KEYS, "connection", serving.ping, syntax="[text]",
        summary="PONG, or the text."),
    Command("echo", 2, "fast", NO_KEYS, "connection", serving.echo, syntax="text",
        summary="The text."),
    Command("hello", -1, "fast", NO_KEYS, "connection", serving.hello, since="6.0.0",
        before_login=True, syntax="[version [AUTH user password] [SETNAME name]]",
        summary="Chooses RESP 2 or 3."),
    Command("auth", -2, "fast", NO_KEYS, "connection", access.auth, before_login=True,
        syntax="[user] password", summary="Logs in: as `default`, or as another user."),
    Command("acl", -2, "", NO_KEYS, "server", access.ACL.take,
        precheck=access.ACL.check, subcommands=access.ACL.subcommands, since="6.0.0",
        syntax="subcommand [argument …]", summary="About users; ACL HELP tells more."),
    Command("select", 2, "fast", NO_KEYS, "connection", serving.select, syntax="index",
        summary="There is database 0 only."),
    Command("client", -2, "", NO_KEYS, "connection", serving.CLIENT.take,
        precheck=serving.CLIENT.check, subcommands=serving.CLIENT.subcommands, since="2.4.0",
        syntax="subcommand [argument …]", summary="About connections; CLIENT HELP tells more."),
    Command("reset", 1, "fast", NO_KEYS, "connection", serving.reset, since="6.2.0", at_once=True,
        before_login=True, summary="The connection as it was when it began."),
    Command("quit", -1, "fast", NO_KEYS, "connection", serving.quit_, at_once=True,
        before_login=True, summary="OK, and the end."),
    Command("readonly", 1, "fast", NO_KEYS, "cluster", cluster.read_only, since="3.0.0",
        summary="In cluster mode: serve reads here, linearizable, instead of redirecting them."),
    Command("readwrite", 1, "fast", NO_KEYS, "cluster", cluster.read_write, since="3.0.0",
        summary="Redirect them again."),
    Command("asking", 1, "fast", NO_KEYS, "cluster", serving.ok, since="3.0.0",
        summary="OK; no slot is ever on its way."),
    Command("cluster", -2, "", NO_KEYS, "cluster", cluster.CLUSTER.take,
        precheck=cluster.CLUSTER.check, subcommands=cluster.CLUSTER.subcommands, since="3.0.0",
        syntax="subcommand [argument …]",
        summary="On the cluster port: who serves; CLUSTER HELP tells more."),
    Command("command", -1, "", NO_KEYS, "server", introspection.COMMAND.take,
        precheck=introspection.COMMAND.check, subcommands=introspection.COMMAND.subcommands,
        since="2.8.13", syntax="[subcommand [argument …]]",
        summary="This table; COMMAND HELP tells more."),
    Command("config", -2, "", NO_KEYS, "server", introspection.CONFIG.take,
        precheck=introspection.CONFIG.check, subcommands=introspection.CONFIG.subcommands,
        since="2.0.0", syntax="GET pattern [pattern …]",
        summary="What clients ask for; nothing can be set here."),
    Command("function", -2, "", NO_KEYS, "server", introspection.FUNCTION.take,
        precheck=introspection.FUNCTION.check, subcommands=introspection.FUNCTION.subcommands,
        since="7.0.0", syntax="FLUSH | LIST",
        summary="There are no functions; for tools that clear a server."),
    Command("info", -1, "", NO_KEYS, "server", serving.ask_node, dangerous=True,
        syntax="[section …]", summary="About the node."),
    Command("role", 1, "fast", NO_KEYS, "server", serving.ask_node, since="2.8.12",
        dangerous=True,
        summary="`master`: every node takes writes. INFO raft and CLUSTER SHARDS tell the "
                "leader."),
    Command("time", 1, "fast", NO_KEYS, "server", serving.ask_node, since="2.6.0",
        summary="The node's clock."),
    Command("wait", 3, "", NO_KEYS, "server", serving.ask_node, since="3.0.0",
        syntax="replicas timeout",
        summary="The voters that have the log: an answer means a majority has it on disk."),
    Command("lastsave", 1, "fast", NO_KEYS, "server", serving.ask_node,
        summary="Index of the newest snapshot."),
]


def _raft(name: str, syntax: str, summary: str) -> Command:
    """The node counts the words itself."""
    return Command(f"raft.{name}", -1, "admin", NO_KEYS, "administration", serving.ask_node,
        admin_only=True, ours=True, syntax=syntax, summary=summary)


ADMINISTRATION = [
    _raft("status", "", "The status object, as JSON."),
    _raft("bootstrap", "node-id", "Forms a new cluster of this node."),
    _raft("recover", "node-id", "Gives up a lost majority: this node goes on alone."),
    _raft("addlearner", "node-id name peer resp", "Adds a member that does not vote."),
    _raft("promote", "node-id", "Makes a learner a voter."),
    _raft("remove", "node-id", "Removes a member for good."),
    _raft("transfer", "node-id", "Hands leadership over."),
    _raft("snapshot", "", "Takes a snapshot and compacts the log."),
    _raft("time", "unix-ms",
        "Sets the calendar: UTC from here on. Every deadline keeps what is left of it."),
    _raft("witness", "name unix-ms error-ms max-jump-ms",
        "Tells a clock beside the members', and how far a jump may go (the operator does)."),
    _raft("archive", "", "What this node has for the archive, as JSON."),
    _raft("entries", "first last", "Applied entries, as MessagePack (the archive)."),
    _raft("state", "index offset", "A piece of the snapshot in force (the archive)."),
]
# fmt: on
