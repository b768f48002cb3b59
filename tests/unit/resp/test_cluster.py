"""Cluster mode without sockets: who is shown, who is sent where."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from counter_node.counters.replies import OK, Failure
from counter_node.resp.actions import Read, Reply, Write
from counter_node.resp.cluster import in_cluster_mode, slot_of
from counter_node.resp.dispatch import handle, increments, new_session
from counter_node.resp.session import Session
from counter_node.resp.topology import ClusterNode

IDS = [f"{number:040x}" for number in (1, 2, 3)]


class View:
    def __init__(self, me: int = 1, leader: int = 1, other: int = 0) -> None:
        self._me, self._leader, self._other = me, leader, other

    def leads(self) -> bool:
        return self._me == self._leader

    def leader(self) -> tuple[str, int] | None:
        return (f"host-{self._leader}", 6380) if self._leader else None

    def elsewhere(self) -> tuple[str, int] | None:
        return (f"host-{self._other}", 6380) if self._other else None

    def me(self) -> str:
        return IDS[self._me - 1]

    def term(self) -> int:
        return 7

    def nodes(self) -> Sequence[ClusterNode]:
        return [
            ClusterNode(IDS[n - 1], f"host-{n}", 6380, n == self._leader, n != 3, 100 - n)
            for n in (1, 2, 3)
        ]

    def all_keys(self, most: int) -> Sequence[bytes]:
        return [b"foo", b"{foo}1", b"bar"]


def session(view: View | None) -> Session:
    found = new_session(1, "127.0.0.1:1", "127.0.0.1:2", admin=False)
    found.cluster = view
    return found


def ask(of: Session, command: str) -> object:
    action = handle(of, command.encode().split())
    assert isinstance(action, Reply), action
    return action.value


# From the examples of the Redis cluster specification, and of CLUSTER KEYSLOT.
@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3), (b"somekey", 11058), (b"foo{hash_tag}", 2515), (b"bar{hash_tag}",
        2515), (b"foo{}{bar}", 8363),
        (b"foo{bar}{zap}", 5061), (b"", 0),
    ],
)  # fmt: skip
def test_slots_are_those_of_redis(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_the_leader_serves() -> None:
    leader = session(View())
    assert isinstance(handle(leader, [b"INCR", b"k"]), Write)
    assert increments(leader, [[b"INCR", b"k"], [b"INCR", b"l"]]) == [b"k", b"l"]


def test_a_follower_sends_to_the_leader_and_serves_reads_when_asked_to() -> None:
    follower = session(View(me=2))
    assert (
        ask(follower, "INCR foo")
        == ask(follower, "MGET foo bar")
        == ask(follower, "EVAL return(1) 2 foo bar")
        == ask(follower, "EVALSHA_RO x 1 foo x")
        == Failure(b"MOVED 12182 host-1:6380")
    )
    assert increments(follower, [[b"INCR", b"k"], [b"INCR", b"l"]]) is None
    assert ask(follower, "PING")
    assert ask(follower, "READONLY") == OK
    assert isinstance(handle(follower, [b"GET", b"foo"]), Read)
    assert ask(follower, "INCR foo") == Failure(b"MOVED 12182 host-1:6380")
    assert ask(follower, "READWRITE") == OK
    assert ask(follower, "GET foo") == Failure(b"MOVED 12182 host-1:6380")


def test_what_is_moved_spoils_a_transaction() -> None:
    follower = session(View(me=2))
    ask(follower, "MULTI")
    assert ask(follower, "INCR foo") == Failure(b"MOVED 12182 host-1:6380")
    reply = ask(follower, "EXEC")
    assert isinstance(reply, Failure)
    assert reply.startswith(b"EXECABORT ")


def test_without_a_leader_the_cluster_is_down() -> None:
    lost = session(View(me=2, leader=0))
    reply = ask(lost, "INCR foo")
    assert isinstance(reply, Failure)
    assert reply.startswith(b"CLUSTERDOWN ")
    assert b"cluster_state:fail\r\n" in ask(lost, "CLUSTER INFO")  # type: ignore[operator]
    assert in_cluster_mode(Failure(b"LOADING no leader")) == Failure(b"CLUSTERDOWN no leader")
    assert in_cluster_mode(7) == 7


def test_a_node_that_leads_no_more_sends_to_another_also_for_reads() -> None:
    """go-redis, Jedis and Lettuce leave a master for MOVED, and not for CLUSTERDOWN."""
    deposed = session(View(me=1, leader=0, other=3))
    assert ask(deposed, "READONLY") == OK
    assert (
        ask(deposed, "INCR foo") == ask(deposed, "GET foo") == Failure(b"MOVED 12182 host-3:6380")
    )
    assert b"cluster_state:fail\r\n" in ask(deposed, "CLUSTER INFO")  # type: ignore[operator]
    assert ask(deposed, "PING")


def test_the_map_is_one_shard_with_the_leader_as_master() -> None:
    shown = session(View(me=2))
    first, *others = ask(shown, "CLUSTER SLOTS")[0][2:]  # type: ignore[index]
    assert first == [b"host-1", 6380, IDS[0].encode(), []]
    assert [node[0] for node in others] == [b"host-2", b"host-3"]
    shard = ask(shown, "CLUSTER SHARDS")[0]  # type: ignore[index]
    assert shard[b"slots"] == [0, 16383]
    assert [(n[b"role"], n[b"health"]) for n in shard[b"nodes"]] == [
        (b"master", b"online"),
        (b"replica", b"online"),
        (b"replica", b"fail"),
    ]
    assert (
        ask(shown, "CLUSTER NODES")
        == (
            f"{IDS[0]} host-1:6380@16380 master - 0 0 7 connected 0-16383\n"
            f"{IDS[1]} host-2:6380@16380 myself,slave {IDS[0]} 0 0 7 connected\n"
            f"{IDS[2]} host-3:6380@16380 slave {IDS[0]} 0 0 7 disconnected\n"
        ).encode()
    )
    assert len(ask(shown, f"CLUSTER REPLICAS {IDS[0]}")) == 2  # type: ignore[arg-type]
    assert ask(shown, f"CLUSTER REPLICAS {IDS[1]}") == Failure(
        b"ERR The specified node is not a master"
    )
    assert ask(shown, "CLUSTER REPLICAS x") == Failure(b"ERR Unknown node x")
    assert ask(shown, "CLUSTER MYID") == IDS[1].encode()
    assert ask(shown, "CLUSTER KEYSLOT {foo}x") == 12182
    assert ask(shown, "CLUSTER COUNTKEYSINSLOT 12182") == 2
    assert ask(shown, "CLUSTER GETKEYSINSLOT 12182 1") == [b"foo"]
    assert ask(shown, "CLUSTER COUNTKEYSINSLOT 16384") == Failure(b"ERR Invalid slot")
    assert ask(shown, "CLUSTER LINKS") == []


@pytest.mark.parametrize(
    "command",
    ["SLOTS", "SHARDS", "NODES", "INFO", "MYID", "KEYSLOT k", "LINKS", "COUNTKEYSINSLOT 1"],
)
def test_elsewhere_cluster_mode_is_off_as_in_a_redis_without_it(command: str) -> None:
    assert ask(session(None), f"CLUSTER {command}") == Failure(
        b"ERR This instance has cluster support disabled"
    )


def test_the_clients_port_tells_of_all_nodes_and_is_no_cluster_otherwise() -> None:
    plain = session(None)
    plain.neighbours = View(me=2)
    (shard,) = ask(plain, "CLUSTER SHARDS")  # type: ignore[misc]
    assert [(n[b"ip"], n[b"port"]) for n in shard[b"nodes"]] == [
        (b"host-1", 6380),
        (b"host-2", 6380),
        (b"host-3", 6380),
    ]
    assert ask(plain, "CLUSTER SLOTS") == Failure(b"ERR This instance has cluster support disabled")
