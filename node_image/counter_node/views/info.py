"""Answers to what only the node knows: INFO, ROLE, CLIENT (client_command.py), WAIT, TIME.

On the clients' port ROLE and INFO say what is true for a client: this node takes writes, so it
is a `master`, without replicas. Clients that heard `slave` would refuse to write, or look for
another node. INFO's section `raft`, CLUSTER SHARDS and RAFT.STATUS name the leader. On the
admin port and on the cluster port, whose clients are redirected to the leader, the leader is the
`master` and the others are `slave`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from counter_node import __version__
from counter_node.counters.replies import Verbatim
from counter_node.raft.types import NodeId
from counter_node.resp.actions import NodeQuestion, Refusal
from counter_node.resp.arguments import integer
from counter_node.resp.serving import VERSION
from counter_node.resp.session import Session
from counter_node.settings import Settings
from counter_node.views import client_command
from counter_node.views.counted import Counted
from counter_node.views.status import hex_id
from counter_node.views.user_usage import Users, usage


class Clients(client_command.Connections, Counted, Protocol):
    """They are counted, listed and ended."""


class Asked(client_command.Connected, Users, Protocol):
    """What is read of the node."""

    settings: Settings
    id: NodeId
    born: float

    @property
    def clients(self) -> Clients: ...

    def role_name(self) -> str: ...

    def unready(self) -> str: ...


def answer(node: Asked, question: NodeQuestion, session: Session) -> Any:
    return _ANSWERS[question.name](node, question.args, session)


def _split(address: str) -> tuple[bytes, int]:
    host, _, port = address.rpartition(":")
    return host.encode(), int(port)


def _writes_anywhere(session: Session) -> bool:
    """The connection is to the clients' port."""
    return not session.admin and session.cluster is None


def _role(node: Asked, _: list[bytes], session: Session) -> Any:
    raft = node.replica.raft
    leader = raft.membership.get(raft.leader)
    if _writes_anywhere(session):
        return [b"master", node.replica.applied, []]
    if raft.leadership is not None:
        others = [
            (m, raft.leadership.progress[m.id].match)
            for m in raft.membership.members
            if m.id != node.id
        ]
        return [
            b"master",
            raft.log.committed,
            [[*_strings(m.resp), b"%d" % match] for m, match in others],
        ]
    host, port = _split(leader.resp) if leader is not None else (b"", 0)
    return [
        b"slave",
        host,
        port,
        b"connected" if leader is not None else b"connect",
        node.replica.applied,
    ]


def _strings(address: str) -> tuple[bytes, bytes]:
    host, port = _split(address)
    return host, b"%d" % port


def _wait(node: Asked, words: list[bytes], session: Session) -> Any:
    try:
        integer(words[1])
        if integer(words[2], "ERR timeout is not an integer or out of range") < 0:
            raise Refusal("ERR timeout is negative")
    except Refusal as refusal:
        return refusal.reply
    return (
        len(node.replica.raft.voters) // 2
    )  # beside the leader itself: what every answered write already has


def _time(node: Asked, _: list[bytes], session: Session) -> Any:
    now = time.time()
    return [b"%d" % int(now), b"%d" % int(now % 1 * 1_000_000)]


def _lastsave(node: Asked, _: list[bytes], session: Session) -> Any:
    return node.replica.raft.snapshot.index


def _info(node: Asked, words: list[bytes], session: Session) -> Any:
    asked = {word.decode("latin-1").lower() for word in words[1:]}
    everything = not asked or asked & {"default", "all", "everything"}
    sections: dict[str, Callable[[Asked], dict[str, Any]]] = {
        **_SECTIONS,
        "replication": lambda node: _replication(node, session),
        "cluster": lambda _: {"cluster_enabled": int(session.cluster is not None)},
        "keyspace": _keyspace if session.within is None else _nothing,
        "limits": lambda node: _limits(node, session),
    }
    parts = []
    for name, section in sections.items():
        if everything or name in asked:
            lines = "".join(f"{key}:{value}\r\n" for key, value in section(node).items())
            parts.append(f"# {name.capitalize()}\r\n{lines}")
    return Verbatim("\r\n".join(parts).encode())


def _server(node: Asked) -> dict[str, Any]:
    return {
        "redis_version": VERSION.decode(),
        "redis_mode": "standalone",
        "countercluster_version": __version__,
        "os": sys.platform,
        "process_id": os.getpid(),
        "tcp_port": node.settings.resp_port,
        "uptime_in_seconds": int(time.monotonic() - node.born),
        "uptime_in_days": int(time.monotonic() - node.born) // 86_400,
        "run_id": hex_id(node.id),
    }


def _clients(node: Asked) -> dict[str, Any]:
    return {
        "connected_clients": node.clients.count,
        "maxclients": node.clients.most,
        "watching_clients": node.replica.machine.counts()["watches"],  # of all nodes
    }


def _memory(node: Asked) -> dict[str, Any]:
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    human = f"{resident / (1 << 20):.2f}M"
    return {
        "used_memory": resident,
        "used_memory_human": human,
        "used_memory_rss": resident,
        "maxmemory": 0,
        "maxmemory_policy": "noeviction",
    }


def _persistence(node: Asked) -> dict[str, Any]:
    """A node listens when it has read its disk."""
    return {"loading": 0, "aof_enabled": 1}


def _stats(node: Asked) -> dict[str, Any]:
    return {
        "total_commands_processed": node.clients.commands,
        "rejected_connections": node.clients.refused,
        "clients_cut_for_not_reading": node.clients.cut,
    }


def _replication(node: Asked, session: Session) -> dict[str, Any]:
    raft = node.replica.raft
    offset = {"master_repl_offset": node.replica.applied}
    if _writes_anywhere(session):
        return {"role": "master", "connected_slaves": 0, **offset}
    if raft.leadership is not None:
        return {"role": "master", "connected_slaves": len(raft.membership.members) - 1, **offset}
    leader = raft.membership.get(raft.leader)
    host, port = _split(leader.resp) if leader is not None else (b"", 0)
    link = "up" if leader is not None else "down"
    master = {"master_host": host.decode(), "master_port": port, "master_link_status": link}
    return {"role": "slave", "connected_slaves": 0, **master, **offset}


def _raft(node: Asked) -> dict[str, Any]:
    raft, lineage = node.replica.raft, node.replica.machine.lineage
    leader = raft.membership.get(raft.leader)
    return {
        "raft_role": node.role_name(),
        "raft_term": raft.term,
        "raft_leader": hex_id(raft.leader),
        "raft_leader_name": leader.name if leader is not None else "",
        "raft_leader_address": leader.resp if leader is not None else "",
        "raft_commit_index": raft.log.committed,
        "raft_applied_index": node.replica.applied,
        "raft_last_index": raft.log.last_index,
        "raft_snapshot_index": raft.snapshot.index,
        "raft_voters": len(raft.voters),
        "raft_history": lineage[-1].id if lineage else "",
        "ready": int(not node.unready()),
    }


def _nothing(_: Asked) -> dict[str, Any]:
    return {}


def _keyspace(node: Asked) -> dict[str, Any]:
    counts = node.replica.machine.counts()
    if not counts["keys"]:
        return {}
    return {"db0": f"keys={counts['keys']},expires={counts['expiring']},avg_ttl=0"}


def _limits(node: Asked, session: Session) -> dict[str, Any]:
    """Users with a limit; to who may not list the users, its own."""
    user = session.user
    everybody = session.access is None or (user is not None and "acl|list" in user.commands)
    return {
        f"user_{use.name}": ",".join(f"{name}={number}" for name, number in use.numbers())
        for use in usage(node)
        if everybody or use.name == session.user_name
    }


_SECTIONS: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "server": _server,
    "clients": _clients,
    "memory": _memory,
    "persistence": _persistence,
    "stats": _stats,
    "replication": lambda node: {},  # by connection
    "raft": _raft,
}
_ANSWERS: dict[str, Callable[[Asked, list[bytes], Session], Any]] = {
    "info": _info,
    "role": _role,
    "wait": _wait,
    "client": client_command.answer,
    "time": _time,
    "lastsave": _lastsave,
}
