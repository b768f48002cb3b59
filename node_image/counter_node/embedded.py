"""A node inside a Python program: `RaftNode("127.0.0.1:8080")`, `start`, `join_cluster`, `set`,
`get`, `incr`, `stop`.

It is the real node, with its disk and its elections, on a thread of its own; it also serves the
Redis protocol on the given address. Meant for learning and for tests of applications; in production
run nodes as processes, so that a busy application never delays heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from counter_node import settings
from counter_node.node.node import Node
from counter_node.ports import free_ports

START_S = 10.0
JOIN_S = 30.0


class RaftNodeError(Exception):
    """The node could not do what was asked; the message says why."""


class RaftNode:
    def __init__(
        self, address: str, data_dir: str | None = None, cluster_id: str = "embedded"
    ) -> None:
        """`address`: where the Redis protocol is served; other ports are chosen freely. Without
        `data_dir` the data lives until `stop`."""
        self.address = address
        self._temporary = None if data_dir else tempfile.TemporaryDirectory(prefix="raft-node-")
        host, port = settings.address(address)
        peer, admin, http = free_ports(3, host)
        self.admin_address = f"{host}:{admin}"
        self._settings = settings.load(
            [
                *(
                    "--cluster-id",
                    cluster_id,
                    "--data-dir",
                    data_dir or str(self._temporary and self._temporary.name),
                ),
                *(
                    "--name",
                    address,
                    "--bind",
                    host,
                    "--resp-port",
                    str(port),
                    "--peer-port",
                    str(peer),
                ),
                *("--admin-port", str(admin), "--http-port", str(http)),
            ],
            {},
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._client = _connect(address)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the node; it waits until it is joined to a cluster. Raises RaftNodeError."""
        if self._thread is not None:
            raise RaftNodeError(f"node {self.address} is started already")
        self._thread = threading.Thread(
            target=self._run, name=f"raft-node-{self.address}", daemon=True
        )
        self._thread.start()
        if not self._started.wait(START_S) or self._error is not None:
            raise RaftNodeError(f"node {self.address} did not start: {self._error or 'no answer'}")

    def join_cluster(self, members: Sequence[RaftNode] = ()) -> None:
        """Become a voter of the cluster of `members`; without members, form a new cluster of this
        node alone. Raises RaftNodeError."""
        me = json.loads(_connect(self.admin_address).execute_command("RAFT.STATUS"))
        if not members:
            _connect(self.admin_address).execute_command("RAFT.BOOTSTRAP", me["nodeId"])
        peer = self._settings.advertise_peer
        commands = (
            [
                ("RAFT.ADDLEARNER", me["nodeId"], self.address, peer, self.address),
                ("RAFT.PROMOTE", me["nodeId"]),
            ]
            if members
            else []
        )
        for command in commands:
            self._ask_leader(members, command)
        end = time.monotonic() + JOIN_S
        while not json.loads(_connect(self.admin_address).execute_command("RAFT.STATUS"))["ready"]:
            if time.monotonic() > end:
                raise RaftNodeError(f"node {self.address} is not ready after {JOIN_S:.0f} s")
            time.sleep(0.02)

    def set(self, key: str, value: int) -> None:
        self._client.set(key, value)

    def get(self, key: str) -> int | None:
        """A linearizable read. None: no such counter."""
        value: Any = self._client.get(key)
        return None if value is None else int(value)

    def incr(self, key: str, by: int = 1) -> int:
        value: Any = self._client.incrby(key, by)
        return int(value)

    def stop(self) -> None:
        """Hands leadership over, answers what is in flight, ends."""
        self._client.close()
        if self._thread is not None and self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=15)
            self._thread = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def _ask_leader(self, members: Sequence[RaftNode], command: tuple[str, ...]) -> None:
        end = time.monotonic() + JOIN_S
        problem: Exception | None = None
        while time.monotonic() < end:
            for member in members:
                try:
                    _connect(member.admin_address).execute_command(*command)
                    return
                except redis.RedisError as error:
                    problem = error
            time.sleep(0.05)
        raise RaftNodeError(
            f"{command[0]} for {self.address} did not succeed in {JOIN_S:.0f} s: {problem}"
        )

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        node = Node(self._settings)
        await node.start()
        self._started.set()
        await node.run_until(self._stop)


def _connect(address: str) -> redis.Redis:
    host, port = settings.address(address)
    return redis.Redis(host=host, port=port, socket_timeout=15, retry=Retry(NoBackoff(), 0))
