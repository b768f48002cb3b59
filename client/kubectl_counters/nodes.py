"""Conversations with a cluster's nodes over connections that somebody else made: HTTP for status
and metrics, the Redis protocol for the rest."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kubectl_counters.connector import Connector
from kubectl_counters.kube import ADMIN, HTTP, RESP, Object, Trouble
from kubectl_counters.scanning import Page, pages

Dial = Callable[[Object, int], socket.socket]  # a pod and a port
NOBODY = "0000000000000000"


class Unconfirmed(Trouble):
    """It is not known whether the node did it."""


def _unconfirmed(error: redis.RedisError) -> bool:
    if isinstance(
        error, (redis.AuthenticationError, redis.BusyLoadingError)
    ):  # ConnectionErrors in redis-py's eyes
        return False
    return isinstance(error, (redis.ConnectionError, redis.TimeoutError)) or str(error).startswith(
        "UNKNOWN"
    )


class _Given(redis.Connection):
    """A connection of redis-py on a socket that is there already."""

    def __init__(self, *, given: Callable[[], socket.socket], **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._given = given

    def _connect(self) -> socket.socket:
        return self._given()


class Nodes:
    def __init__(self, dial: Dial, connector: Connector) -> None:
        self._dial, self._connector = dial, connector

    def page(self, pod: Object, path: str) -> str:
        """A page of the HTTP port. Raises Trouble."""
        name = pod["metadata"]["name"]
        connection = http.client.HTTPConnection(name, HTTP)
        try:
            connection.sock = self._connector.to_page(self._dial(pod, HTTP))
            connection.request("GET", path, headers={"Host": name})
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"{name}{path}: {str(error) or type(error).__name__}") from None
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
            return {
                pod["metadata"]["name"]: found
                for pod, found in zip(pods, pool.map(self.status, pods), strict=True)
            }

    def command(self, pod: Object, *words: str | int) -> Any:
        """One command to the port of clients. Raises Trouble with the node's own words."""
        return self._asked(
            pod,
            lambda: self._connector.to_count(self._dial(pod, RESP)),
            self._connector.login,
            *words,
        )

    def _asked(
        self,
        pod: Object,
        given: Callable[[], socket.socket],
        login: dict[str, Any],
        *words: str | int,
    ) -> Any:
        """Asked once: a repeated increment would count twice."""
        with self._talk(pod, given, login) as client:
            return client.execute_command(*words)

    @contextlib.contextmanager
    def _talk(
        self, pod: Object, given: Callable[[], socket.socket], login: dict[str, Any]
    ) -> Iterator[redis.Redis]:
        """One connection. Raises Trouble with the node's own words."""
        pool = redis.ConnectionPool(
            connection_class=_Given,
            given=given,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            max_connections=1,
            **login,
        )
        try:
            with redis.Redis(connection_pool=pool) as client:
                yield client
        except redis.RedisError as error:
            raise (Unconfirmed if _unconfirmed(error) else Trouble)(
                f"{pod['metadata']['name']}: {error}"
            ) from None
        finally:
            pool.disconnect()

    def scan(
        self, pod: Object, pattern: str, *, values: bool = False, limit: int = 0
    ) -> Iterator[Page]:
        """Names of counters, and with `values` these, in pages. Raises Trouble."""
        with self._talk(
            pod, lambda: self._connector.to_count(self._dial(pod, RESP)), self._connector.login
        ) as client:

            def ask(*commands: tuple[str | int, ...]) -> list[object]:
                with client.pipeline(transaction=False) as together:
                    for words in commands:
                        together.execute_command(*words)
                    return together.execute()

            yield from pages(ask, pattern, values=values, limit=limit)

    def transfer(self, leader: Object, node_id: str = NOBODY) -> None:
        self._asked(
            leader,
            lambda: self._connector.to_administer(self._dial(leader, ADMIN)),
            {},
            "RAFT.TRANSFER",
            node_id,
        )
