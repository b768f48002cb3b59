"""CounterClusters with TLS and passwords, and clients of theirs."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from countercluster import Counters
from countercluster.addresses import Binding
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.apiserver.conftest import own_namespace
from tests.apiserver.world import World, world
from tests.support.operators import Operator

QUICK = {"SPREAD_SECONDS": "2"}
SECURED: dict[str, Any] = {"tls": {}, "auth": {}}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as found:
        yield found


@pytest.fixture
def operator(here: World) -> Iterator[Operator]:
    with here.operator(**QUICK).kept() as found:
        yield found


@pytest.fixture
def namespace(here: World, request: pytest.FixtureRequest) -> Iterator[str]:
    with here.space(own_namespace(request)) as found:
        yield found


class Client:
    """The Secret `<name>-client`, mounted: `refresh` is what a kubelet does in the end. Nodes are
    reached by their addresses, as no Services are here."""

    def __init__(self, here: World, namespace: str, name: str, folder: Path) -> None:
        self._here, self._namespace, self._name, self.folder = here, namespace, name, folder
        self.refresh()

    def refresh(self) -> None:
        data = self._here.server.get(
            f"/api/v1/namespaces/{self._namespace}/secrets/{self._name}-client"
        )["data"]
        for key, value in data.items():
            fresh = (
                self.folder / f".{key}"
            )  # clients read meanwhile: never half a file, as with a mounted Secret
            fresh.write_bytes(base64.b64decode(value))
            fresh.replace(self.folder / key)

    def ips(self) -> list[str]:
        pods = self._here.server.get(f"/api/v1/namespaces/{self._namespace}/pods")["items"]
        return [pod["status"]["podIP"] for pod in pods]

    def options(self, **more: Any) -> dict[str, Any]:
        """Of a connection that looks at the authority, and not at the address: certificates carry
        names."""
        return {**Binding(self.folder).options, "ssl_check_hostname": False, **more}

    def counters(self) -> Counters:
        return Counters(
            [f"rediss://{ip}:6379" for ip in self.ips()],
            discover=False,
            deadline_s=20,
            **self.options(),
        )

    def redis(self, node: int = 0, **more: Any) -> redis.Redis:
        options = self.options(**more)
        return redis.Redis(
            host=self.ips()[node],
            port=options.pop("port", 6379),
            ssl=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=10,
            **options,
        )


@pytest.fixture
def secured(here: World, operator: Operator, namespace: str, tmp_path: Path) -> Client:
    here.cluster(namespace, "c", **SECURED)
    here.wait_ready(namespace, "c")
    return Client(here, namespace, "c", tmp_path)


@contextlib.contextmanager
def counting(client: Client) -> Iterator[list[int]]:
    """Increments without a pause over exactly-once connections that are made again now and then.
    Whatever fails is raised at the end."""
    stop, values, problems = threading.Event(), [], []

    def count() -> None:
        try:
            while not stop.is_set():
                with client.counters() as counters:
                    for _ in range(20):
                        values.append(counters.incr("k"))
                        stop.wait(0.01)
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield values
    finally:
        stop.set()
        thread.join()
    assert not problems, problems[0]
    assert values == list(range(1, len(values) + 1)), "each exactly once"
