"""Conversations with nodes over connections that somebody else made: HTTP for status and metrics, the Redis protocol for the rest."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kubectl_counters.kube import ADMIN, HTTP, RESP, Object, Trouble

Dial = Callable[[Object, int], socket.socket]  # a pod and a port
NOBODY = "0000000000000000"


class _Given(redis.Connection):
    """A connection of redis-py on a socket that is there already."""

    def __init__(self, *, given: Callable[[], socket.socket], **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._given = given

    def _connect(self) -> socket.socket:
        return self._given()


class Nodes:
    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    def page(self, pod: Object, path: str) -> str:
        """A page of the HTTP port. Raises Trouble."""
        name = pod["metadata"]["name"]
        connection = http.client.HTTPConnection(name, HTTP)
        connection.sock = self._dial(pod, HTTP)
        try:
            connection.request("GET", path, headers={"Host": name})
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"{name}{path}: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def status(self, pod: Object) -> Object:
        """What the node says of itself; {"error": …} when it does not answer."""
        try:
            found: Object = json.loads(self.page(pod, "/status"))
        except (Trouble, ValueError) as error:
            return {"error": str(error)}
        return found

    def statuses(self, pods: list[Object]) -> dict[str, Object]:
        """By the name of the pod; asked all at once."""
        with ThreadPoolExecutor(max_workers=max(1, len(pods))) as pool:
            return {pod["metadata"]["name"]: found for pod, found in zip(pods, pool.map(self.status, pods), strict=True)}

    def command(self, pod: Object, *words: str | int, port: int = RESP) -> Any:
        """One command, asked once: a repeated increment would count twice. Raises Trouble with the node's own words."""
        pool = redis.ConnectionPool(
            connection_class=_Given, given=lambda: self._dial(pod, port), retry=Retry(NoBackoff(), 0), decode_responses=True, max_connections=1
        )
        try:
            with redis.Redis(connection_pool=pool) as client:
                return client.execute_command(*words)
        except redis.RedisError as error:
            raise Trouble(f"{pod['metadata']['name']}: {error}") from None
        finally:
            pool.disconnect()

    def scan(self, pod: Object, pattern: str) -> Iterator[str]:
        """Names of counters."""
        cursor = "0"
        while True:
            cursor, keys = self.command(pod, "SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            yield from keys
            cursor = str(cursor)
            if cursor == "0":
                return

    def transfer(self, leader: Object, node_id: str = NOBODY) -> None:
        self.command(leader, "RAFT.TRANSFER", node_id, port=ADMIN)
