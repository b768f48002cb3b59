"""Cluster mode, for clients that want it: connections to the cluster port see one shard that owns
all slots, its leader as the master and the other voters as replicas.

1. A command with keys is redirected to the leader with MOVED; on a connection that said READONLY,
   only if it writes. Its reads are linearizable on every node, which those of a Redis replica are
   not.
2. What is LOADING elsewhere is CLUSTERDOWN here, as clients of clusters repeat that one. Without a
   leader a command with keys gets it too; but from a node that led, and leads no more, it gets
   MOVED to another voter, reads as well: some clients leave a master for MOVED and for nothing
   else.
3. CLUSTER SHARDS is answered on the clients' port as well, with the addresses of that port: there
   it is how programs find the other nodes.
4. All keys are in one shard, so keys of different slots may be in one command or transaction.

Sources: the pages of CLUSTER SLOTS, SHARDS, NODES and INFO, and the Redis cluster specification.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any, Final

from counter_node.counters.keyspace import match_of
from counter_node.counters.replies import OK, Failure
from counter_node.counters.state import MOST_SCANNED
from counter_node.resp.actions import Action, Refusal, Reply
from counter_node.resp.arguments import integer
from counter_node.resp.session import Command, Session, Subcommand
from counter_node.resp.subcommands import ContainerCommand
from counter_node.resp.topology import ClusterNode, ClusterView

SLOTS: Final = 16_384
DOWN = Failure(b"CLUSTERDOWN no leader is known; the command was not executed")
_BUS: Final = 10_000
"""How far the port of Redis's cluster bus is from the clients' port. Nobody listens there."""


def slot_of(key: bytes) -> int:
    """CRC-16 of the key, or of what stands between its first `{` and the next `}` if that is
    anything."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


def redirection(session: Session, command: Command, words: list[bytes]) -> Failure | None:
    """The error that sends a client to the leader, if this command is not for this node."""
    view, first = session.cluster, command.keys[0]
    if command.keys_counted_at and command.keys_in(words):
        first = command.keys_counted_at + 1
    if view is None or first == 0 or view.leads():
        return None
    elsewhere = view.elsewhere()
    if elsewhere is None:
        if session.reads_here and "readonly" in command.flags:
            return None
        elsewhere = view.leader()
    if elsewhere is None:
        return DOWN
    return Failure(b"MOVED %d %s:%d" % (slot_of(words[first]), elsewhere[0].encode(), elsewhere[1]))


def in_cluster_mode(reply: Any) -> Any:
    """LOADING becomes CLUSTERDOWN."""
    if type(reply) is Failure and reply.startswith(b"LOADING"):
        return Failure(b"CLUSTERDOWN" + reply.removeprefix(b"LOADING"))
    return reply


def _view(session: Session) -> ClusterView:
    if session.cluster is None:
        raise Refusal("ERR This instance has cluster support disabled")
    return session.cluster


def _slots(session: Session, _: list[bytes]) -> Action:
    nodes = _view(session).nodes()
    return Reply(
        [[0, SLOTS - 1, *([node.host.encode(), node.port, node.id.encode(), []] for node in nodes)]]
        if nodes
        else []
    )


def _shards(session: Session, _: list[bytes]) -> Action:
    nodes = [
        {
            b"id": node.id.encode(),
            b"port": node.port,
            b"ip": node.host.encode(),
            b"endpoint": node.host.encode(),
            b"role": b"master" if node.leads else b"replica",
            b"replication-offset": node.offset,
            b"health": b"online" if node.connected else b"fail",
        }
        for node in (session.neighbours or _view(session)).nodes()
    ]
    return Reply([{b"slots": [0, SLOTS - 1], b"nodes": nodes}])


def _line(node: ClusterNode, view: ClusterView, master: str) -> str:
    flags = ",".join(["myself"] * (node.id == view.me()) + ["master" if node.leads else "slave"])
    follows = "-" if node.leads else master
    state = "connected" if node.connected else "disconnected"
    slots = f" 0-{SLOTS - 1}" if node.leads else ""
    return (
        f"{node.id} {node.host}:{node.port}@{node.port + _BUS} {flags} {follows} 0 0 "
        f"{view.term()} {state}{slots}"
    )


def _lines(session: Session) -> list[str]:
    view = _view(session)
    nodes = view.nodes()
    master = next((node.id for node in nodes if node.leads), "-")
    return [_line(node, view, master) for node in nodes]


def _nodes(session: Session, _: list[bytes]) -> Action:
    return Reply("".join(line + "\n" for line in _lines(session)).encode())


def _replicas(session: Session, words: list[bytes]) -> Action:
    chosen = words[2].decode("latin-1")
    node = next((node for node in _view(session).nodes() if node.id == chosen), None)
    if node is None:
        raise Refusal(f"ERR Unknown node {chosen[:128]}")
    if not node.leads:
        raise Refusal("ERR The specified node is not a master")
    return Reply(
        [line.encode() for line in _lines(session) if " slave " in line or ",slave " in line]
    )


def _info(session: Session, _: list[bytes]) -> Action:
    view = _view(session)
    nodes, state = view.nodes(), "ok" if view.leader() is not None else "fail"
    facts = {
        "cluster_state": state, "cluster_slots_assigned": SLOTS,
        "cluster_slots_ok": SLOTS if state == "ok" else 0, "cluster_slots_pfail": 0,
        "cluster_slots_fail": 0 if state == "ok" else SLOTS, "cluster_known_nodes": len(nodes),
        "cluster_size": 1,
        "cluster_current_epoch": view.term(), "cluster_my_epoch": view.term(),
    }  # fmt: skip
    return Reply("".join(f"{name}:{value}\r\n" for name, value in facts.items()).encode())


def _myid(session: Session, _: list[bytes]) -> Action:
    return Reply(_view(session).me().encode())


def _myshardid(session: Session, _: list[bytes]) -> Action:
    _view(session)
    return Reply(b"%040d" % 0)


def _keyslot(session: Session, words: list[bytes]) -> Action:
    _view(session)
    return Reply(slot_of(words[2]))


def _slot(word: bytes) -> int:
    slot = integer(word, "ERR Invalid slot")
    if not 0 <= slot < SLOTS:
        raise Refusal("ERR Invalid slot")
    return slot


def _few_keys(session: Session) -> Sequence[bytes]:
    """All of them. They are not kept by slot, and to look through more than a few would hold the
    node up."""
    keys = _view(session).all_keys(MOST_SCANNED + 1)
    if len(keys) > MOST_SCANNED:
        raise Refusal(
            f"ERR keys are searched for those of a slot, at most {MOST_SCANNED}, and "
            f"there are more; use SCAN"
        )
    return keys if session.within is None else list(filter(match_of(tuple(session.within)), keys))


def _count_keys(session: Session, words: list[bytes]) -> Action:
    slot = _slot(words[2])
    return Reply(sum(slot_of(key) == slot for key in _few_keys(session)))


def _get_keys(session: Session, words: list[bytes]) -> Action:
    slot, count = _slot(words[2]), integer(words[3], "ERR Invalid number of keys")
    if count < 0:
        raise Refusal("ERR Invalid number of keys")
    return Reply([key for key in _few_keys(session) if slot_of(key) == slot][:count])


def _links(session: Session, _: list[bytes]) -> Action:
    _view(session)
    return Reply([])


def read_only(session: Session, _: list[bytes]) -> Action:
    session.reads_here = True
    return Reply(OK)


def read_write(session: Session, _: list[bytes]) -> Action:
    session.reads_here = False
    return Reply(OK)


CLUSTER = ContainerCommand(
    "cluster",
    {
        "SLOTS": Subcommand(2, _slots, ": Who serves which slots."),
        "SHARDS": Subcommand(2, _shards, ": The one shard and its nodes."),
        "NODES": Subcommand(2, _nodes, ": The nodes, a line for each."),
        "REPLICAS": Subcommand(3, _replicas, "<node-id>: The followers of the leader."),
        "SLAVES": Subcommand(3, _replicas, "<node-id>: The same as REPLICAS."),
        "INFO": Subcommand(2, _info, ": The state of the cluster."),
        "MYID": Subcommand(2, _myid, ": The id of this node."),
        "MYSHARDID": Subcommand(2, _myshardid, ": The id of the one shard."),
        "KEYSLOT": Subcommand(3, _keyslot, "<key>: The slot of a key."),
        "COUNTKEYSINSLOT": Subcommand(
            3,
            _count_keys,
            "<slot>: How many keys a slot has. Looks at every key.",
        ),
        "GETKEYSINSLOT": Subcommand(
            4, _get_keys, "<slot> <count>: Keys of a slot. Looks at every key."
        ),
        "LINKS": Subcommand(2, _links, ": Nothing; there is no cluster bus."),
    },
)
