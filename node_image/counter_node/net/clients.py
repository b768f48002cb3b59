"""All client connections of a node (connection.py), and what they share: how many there may be,
their turns, the lane, and the delivery of replies."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from counter_node.fast.lanes import Lane, LaneBatch
from counter_node.memory import client_bytes
from counter_node.net.connection import ClientConnection
from counter_node.net.descriptors import ADMIN
from counter_node.net.holdings import Holdings
from counter_node.net.logins import Logins
from counter_node.net.served import Served
from counter_node.net.turns import Turns
from counter_node.net.unready import Unready
from counter_node.resp.dispatch import new_session
from counter_node.resp.ordered_replies import PendingReplies, Shared
from counter_node.resp.session import Session
from counter_node.views.cluster_view import View
from counter_node.views.info import answer


class ClientServer:
    """All client connections of a node, and the limits that they share."""

    def __init__(self, node: Served, most: int) -> None:
        """`most`: connections to the clients' ports."""
        self.node, self.most = node, most
        self.max_reply_bytes = node.settings.max_reply_bytes
        self.shared = Shared(
            node.settings.max_pipeline,
            node.settings.max_pipeline_bytes,
            node.metrics.failed,
            node.refusals.add,
        )
        self.refused = 0
        self.cut = 0
        self.spawn = node.spawn
        self._neighbours = View(node)
        self.view = View(node, node.settings.cluster_port - node.settings.resp_port)
        self.lane = Lane(
            lambda batch, ops: node.replica.submit_write(batch, ops),
            lambda batch, ops: node.replica.submit_read(batch, ops),
            node.wake,
            node.turn_now,
            node.settings.max_pipeline,
        )
        self.now_s = asyncio.get_running_loop().time
        loop = asyncio.get_running_loop()
        self.turns = Turns(loop)
        self.logins = Logins(loop, node.access.throttle)
        self.holdings = Holdings[ClientConnection](
            client_bytes(node.settings.client_bytes, node.memory_bytes),
            ClientConnection.cut_for_memory,
        )
        self.unready = Unready(node, node.settings.unready_close_s)
        self._unique = secrets.token_hex(8).encode() + b"-"  # of this start of the node
        self._numbers = itertools.count(1)
        self._connections: set[ClientConnection] = set()
        self._silent: dict[ClientConnection, None] = {}  # oldest first
        self._admins: dict[ClientConnection, None] = {}  # oldest first
        self._holding = False
        self.shutting = False

    @property
    def count(self) -> int:
        return len(self._connections)

    @property
    def commands(self) -> int:
        return self.shared.commands + self.lane.commands

    def client(self) -> ClientConnection:
        return ClientConnection(self)

    def cluster_client(self) -> ClientConnection:
        return ClientConnection(self, cluster=True)

    def administrator(self) -> ClientConnection:
        return ClientConnection(self, admin=True)

    def joined(self, connection: ClientConnection) -> int | None:
        """The connection's number, or None when there are too many. Who has not said a word makes
        room for whoever comes: a thousand connections that are opened and left, or dribble, shut
        nobody out."""
        if connection.is_admin:
            return self._joined_admin(connection)
        if len(self._connections) - len(self._admins) >= self.most:
            if not self._silent:
                self.refused += 1
                self.node.refusals.add("client_limit")
                return None
            oldest = next(iter(self._silent))
            self.left(oldest)
            oldest.kill()
            self.node.refusals.add("client_silent")
        self._connections.add(connection)
        self._silent[connection] = None
        return next(self._numbers)

    def _joined_admin(self, connection: ClientConnection) -> int:
        """The operator is not shut out by clients, nor by whoever opens connections here and leaves
        them."""
        if len(self._admins) >= ADMIN:
            oldest = next(iter(self._admins))
            self.left(oldest)
            oldest.kill()
            self.node.refusals.add("admin_limit")
        self._admins[connection] = None
        self._connections.add(connection)
        return next(self._numbers)

    def left(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        self._admins.pop(connection, None)
        self._silent.pop(connection, None)

    def spoke(self, connection: ClientConnection) -> None:
        self._silent.pop(connection, None)

    def sessions(self) -> list[Session]:
        known = [(c, c.session) for c in self._connections if c.session is not None]
        for connection, session in known:
            connection.lane.inform(session)
        return [session for _, session in known]

    def kill(self, wanted: Callable[[Session], bool], asking: Session) -> int:
        """Ends connections at once; the one that asks for it, when it has its answer."""
        victims = [c for c in self._connections if c.session is not None and wanted(c.session)]
        for connection in victims:
            if connection.session is asking:
                connection.end()
            else:
                connection.kill()
        return len(victims)

    def session(
        self, connection: ClientConnection, number: int, transport: asyncio.Transport
    ) -> Session:
        """Of a new connection."""
        node = self.node
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        session = new_session(
            number, f"{peer[0]}:{peer[1]}", f"{local[0]}:{local[1]}", admin=connection.is_admin
        )
        session.born_s = session.active_s = self.now_s()
        session.count_keys = lambda: len(node.replica.machine.values)
        session.watch_name = b"%s%d" % (self._unique, number)
        session.ask = lambda question: answer(node, question, session)
        if not connection.is_admin:
            session.access = node.access
            node.access.settle(session)
        session.neighbours = self._neighbours
        if connection.in_cluster_mode:
            session.cluster = session.neighbours = self.view
        return session

    def deliver(
        self,
        answers: Sequence[tuple[PendingReplies[ClientConnection | None] | LaneBatch, list[Any]]],
    ) -> None:
        touched: dict[ClientConnection, None] = {}
        metrics, now = self.node.metrics, monotonic()
        self.lane.alone = len(answers) == 1 and len(answers[0][1]) == 1
        for pending, replies in answers:
            durations = metrics.writes if pending.write else metrics.reads
            durations.add(now - pending.born_s, len(replies))
            if isinstance(pending, LaneBatch):
                if left := self.lane.answer(pending, replies):
                    touched.update(dict.fromkeys(left))
            elif (connection := pending.owner) is not None:
                connection.answered(pending, replies)
                touched[connection] = None
        for connection in touched:
            connection.flush()

    def tick(self) -> None:
        """Stop reading from everybody while too many commands wait for a leader; let them go while
        the node is not ready."""
        self.view.look()
        if self.unready.tick(self.now_s()):
            now_s = self.now_s()
            for connection in list(self._connections):
                if connection.let_go(now_s):
                    self.node.refusals.add("unready")
        for connection in self.holdings.heaviest():
            connection.weigh()
        gathered = self.node.replica.gateway.gathered
        hold = gathered > self.node.settings.max_gathered
        if hold != self._holding and not self.shutting:
            self._holding = hold
            self._hold_back(hold)

    def _hold_back(self, hold: bool) -> None:
        """Too much is gathered, or the node is shutting down."""
        for connection in self._connections:
            if hold:
                connection.pause("server")
            else:
                connection.resume("server")

    def stop_reading(self) -> None:
        self.shutting = True
        self.lane.submit()
        self._hold_back(True)

    def close(self) -> None:
        for connection in list(self._connections):
            connection.flush(most=1 << 62)
            connection.close()
