"""A node among its members: who may connect, what their messages set off, and a link to each
(net/peers.py: Owner)."""

from __future__ import annotations

from typing import Protocol

from counter_node.logs import log
from counter_node.net.frames import REMOVED, Hello, Welcome
from counter_node.net.peers import Peers
from counter_node.raft.messages import AppendResponse
from counter_node.raft.types import Membership, NodeId
from counter_node.replica.peer_messages import PeerMessage
from counter_node.replica.replica import Replica
from counter_node.security.refusals import Refusals
from counter_node.settings import Settings


class Member(Protocol):
    """What its links need of the node."""

    settings: Settings
    refusals: Refusals
    id: NodeId
    replica: Replica
    peers: Peers
    stopping: bool

    def histories(self) -> tuple[str, ...]: ...

    def wake(self) -> None: ...

    def turn_now(self) -> None: ...

    def end_with(self, error: BaseException) -> None: ...


class Peering:
    def __init__(self, node: Member) -> None:
        self._node = node
        self.settings, self.refusals = node.settings, node.refusals
        self._linked: Membership | None = None

    def hello(self, expects: NodeId) -> Hello:
        s = self.settings
        return Hello(
            s.cluster_id,
            self._node.id,
            expects,
            s.name,
            s.advertise_peer,
            s.advertise_resp,
            level=s.level,
        )

    def sync_links(self) -> None:
        """A link to every other member, under the address that the configuration names."""
        node = self._node
        membership = node.replica.raft.membership
        if membership is self._linked or not membership.members:
            return
        self._linked = membership
        others = {m.id: m for m in membership.members if m.id != node.id}
        if node.id not in membership.removed:
            node.peers.keep_only(set(others))
            for member in others.values():
                node.peers.ensure(member.id, member.name, member.peer)

    def peer_hello(self, hello: Hello) -> Welcome:
        node = self._node
        if (
            hello.node_id in node.replica.raft.membership.removed
            and hello.expects == node.id
            and hello.cluster_id == self.settings.cluster_id
        ):
            return Welcome(
                REMOVED, node.replica.raft.membership.removal(hello.node_id), node.histories()
            )
        return Welcome(self._unwelcome(hello))

    def _unwelcome(self, hello: Hello) -> str:
        """Why a dialler is refused; empty when it is welcome."""
        node = self._node
        if hello.cluster_id != self.settings.cluster_id:
            return f"this is cluster {self.settings.cluster_id}, not {hello.cluster_id}"
        if hello.expects != node.id:
            return f"this is node {node.id:016x}, not {hello.expects:016x}"
        membership, level = node.replica.raft.membership, node.replica.machine.level
        if membership.members and hello.level < level:
            self.refusals.add("peer_too_old")
            return (
                f"the cluster is at level {level}, and node {hello.name!r} knows "
                f"{hello.level}; upgrade it"
            )
        if membership.get(hello.node_id) is None:
            node.peers.ensure(
                hello.node_id, hello.name, hello.peer
            )  # to answer who just adds us, or whom we do not know of yet
        return ""

    def peer_messages(self, sender: NodeId, messages: list[PeerMessage]) -> None:
        node = self._node
        replica = node.replica
        try:
            for message in messages:
                replica.receive(sender, message)
        except Exception as error:
            node.end_with(error)
        # A follower's leader waits for its answer. A leader looks at the other sockets first, as
        # what they bring goes into the same batch: unless one client is alone.
        if replica.raft.leadership is None or (
            replica.applying.unfinished and replica.gateway.one_command_waits
        ):
            node.turn_now()
        elif not replica.turn_would_do_nothing or not all(
            isinstance(message, AppendResponse) for message in messages
        ):
            node.wake()

    def peer_lost(self, member: NodeId) -> None:
        if not self._node.stopping:
            self._node.replica.link_lost(member)
            self._node.wake()

    def peer_up(self, member: NodeId) -> None:
        self._node.replica.link_up(member)
        self._node.wake()

    def peer_refused(self, member: NodeId, welcome: Welcome) -> None:
        node = self._node
        extra = {"peer": f"{member:016x}"}
        log.warning("refused by a peer: %s", welcome.reason, extra=extra)
        if welcome.reason == REMOVED:
            if why := node.replica.raft.hears_of_removal(
                welcome.removal, node.histories(), welcome.histories
            ):
                log.warning("that this node was removed is not believed: %s", why, extra=extra)
            node.wake()
