"""Who is woken by what, and what happens to the Lease in the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import aiohttp
import kopf
import pytest
from counter_node.ports import free_ports
from countercluster_operator.run import handlers
from countercluster_operator.run import runtime as module
from countercluster_operator.run.runtime import BURST_S, Runtime
from countercluster_operator.run.settings import load
from countercluster_operator.world.api import AT_ONCE, FEW, Kubernetes, TooMuch
from kubernetes.aio.client.exceptions import ApiException

from tests.support.unit.api_answers import Answer


def test_what_is_only_listed_again_wakes_nobody() -> None:
    def pod(version: str) -> dict[str, Any]:
        return {
            "metadata": {"namespace": "ns", "name": "c-0", "resourceVersion": version, "uid": "u"},
            "spec": {},
        }

    async def run() -> list[bool]:
        runtime = Runtime(load({"POD_NAMESPACE": "ns"}))
        woken = []
        for version, event in (
            ("1", None),
            ("1", None),
            ("2", None),
            ("3", "MODIFIED"),
            ("3", "DELETED"),
            ("3", None),
        ):
            runtime.saw("c", "Pod", pod(version), event)
            await asyncio.sleep(2 * BURST_S)
            woken.append(runtime.queue.depth == 1)
            if runtime.queue.depth:
                runtime.queue.done(await runtime.queue.get())
        return woken

    assert asyncio.run(run()) == [True, False, True, True, True, True]


class Api:
    """Lists two CounterClusters of each namespace, once it answers at all."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def keys(self, _version: str, _kind: str, namespace: str | None) -> list[tuple[str, str]]:
        self.asked.append(namespace)
        if len(self.asked) == 1:
            raise aiohttp.ServerDisconnectedError
        return [(namespace or "any", name) for name in ("a", "b")]


@pytest.mark.parametrize(
    ("watched", "expected"),
    [("", {("any", "a"), ("any", "b")}), ("x,y", {(n, c) for n in "xy" for c in "ab"})],
)
def test_a_cluster_whose_event_was_lost_is_found_all_the_same(
    watched: str, expected: set[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESYNC_S", 0.05)

    async def run() -> tuple[set[Any], int]:
        runtime = Runtime(load({"POD_NAMESPACE": "ns", "WATCH_NAMESPACES": watched}))
        runtime._api = Api()  # type: ignore[assignment]
        resync = asyncio.create_task(runtime._resync())
        found = {await asyncio.wait_for(runtime.queue.get(), 5) for _ in expected}
        resync.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await resync
        return found, runtime.health.clusters

    assert asyncio.run(run()) == (expected, len(expected))


def test_a_namespace_that_is_forbidden_keeps_nobody_from_looking_after_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Forbidding(Api):
        async def keys(
            self, version: str, kind: str, namespace: str | None
        ) -> list[tuple[str, str]]:
            if namespace == "x":
                raise ApiException(status=403, reason="Forbidden")
            self.asked.append("first")
            return await super().keys(version, kind, namespace)

    async def run() -> set[Any]:
        runtime = Runtime(load({"POD_NAMESPACE": "ns", "WATCH_NAMESPACES": "x,y"}))
        monkeypatch.setattr(module, "RESYNC_S", 0.05)
        runtime._api = Forbidding()  # type: ignore[assignment]
        resync = asyncio.create_task(runtime._resync())
        found = {await asyncio.wait_for(runtime.queue.get(), 5) for _ in range(2)}
        resync.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await resync
        assert runtime.health.clusters == 2
        return found

    assert asyncio.run(run()) == {("y", "a"), ("y", "b")}


def test_a_list_comes_in_pages_and_one_from_the_memory_of_the_api_server_in_one() -> None:
    asked: list[dict[str, Any]] = []

    class Dynamic:
        resources: Any = None

        async def get(self, *_: Any, **how: Any) -> Any:
            if "kind" in how:
                return object()
            asked.append(
                {k: how[k] for k in ("limit", "resource_version", "_continue") if k in how}
            )
            more = {"continue": "next"} if len(asked) == 1 else {}
            return Answer.of(
                {
                    "metadata": more,
                    "items": [
                        {
                            "metadata": {
                                "namespace": "ns",
                                "name": f"{len(asked)}",
                                "annotations": {"a": "b"},
                            }
                        }
                    ],
                }
            )

    dynamic = Dynamic()
    dynamic.resources = dynamic
    api = Kubernetes(None, dynamic)  # type: ignore[arg-type]
    assert [item["metadata"]["name"] for item in asyncio.run(api.list("v1", "Pod", None, {}))] == [
        "1",
        "2",
    ]
    asyncio.run(api.list("v1", "Pod", None, {}, cached=True))
    assert asked == [{"limit": 500}, {"limit": 500, "_continue": "next"}, {"resource_version": "0"}]
    asked.clear()
    assert asyncio.run(api.keys("v1", "Pod", None)) == [("ns", "1"), ("ns", "2")]
    assert asked == [{"limit": FEW}, {"limit": FEW, "_continue": "next"}], (
        "each of these may be as large as an object can be"
    )


def test_of_an_answer_no_more_is_read_than_its_bound() -> None:
    """Anybody can put the labels of a CounterCluster on ten thousand pods of his own."""
    answers: list[Answer] = []

    class Dynamic:
        resources: Any = None

        async def get(self, *_: Any, **how: Any) -> Any:
            if "kind" in how:
                return object()
            answers.append(Answer(itertools.repeat(b"x" * 1000)))
            return answers[-1]

    dynamic = Dynamic()
    dynamic.resources = dynamic
    api = Kubernetes(None, dynamic)  # type: ignore[arg-type]
    with pytest.raises(TooMuch, match="more than 50,000 bytes"):
        asyncio.run(api.list("v1", "Pod", "ns", {}, cached=True, most_bytes=50_000))
    assert answers[0].closed
    assert answers[0].read == 51_000


def test_the_bound_is_for_all_pages_together() -> None:
    class Dynamic:
        resources: Any = None

        async def get(self, *_: Any, **how: Any) -> Any:
            return (
                object()
                if "kind" in how
                else Answer.of({"metadata": {"continue": "next"}, "items": ["x" * 1000]})
            )

    dynamic = Dynamic()
    dynamic.resources = dynamic
    with pytest.raises(TooMuch):
        asyncio.run(Kubernetes(None, dynamic).list("v1", "Event", "ns", {}, most_bytes=50_000))  # type: ignore[arg-type]


def test_requests_wait_for_each_other_and_the_lease_for_none_of_them() -> None:
    """An API server that has fallen behind is not asked for ever more, and the operator stays who
    it is meanwhile."""
    under_way: list[int] = []

    async def run() -> int:
        answer = asyncio.Event()

        class Dynamic:
            resources: Any = None

            async def get(self, *_: Any, **how: Any) -> Any:
                if "kind" in how:
                    return object()
                under_way.append(1)
                if how["name"] != "lease":
                    await answer.wait()
                return {}

        dynamic = Dynamic()
        dynamic.resources = dynamic
        api = Kubernetes(None, dynamic, places=asyncio.Semaphore(AT_ONCE))  # type: ignore[arg-type]
        guarded = api.guarded(lambda: None)
        many = [
            asyncio.create_task(guarded.get("v1", "Pod", "ns", f"p{n}")) for n in range(3 * AT_ONCE)
        ]
        while len(under_way) < AT_ONCE:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        at_once = len(under_way)
        await asyncio.wait_for(api.urgent().get("v1", "Lease", "ns", "lease"), 5)
        answer.set()
        await asyncio.gather(*many)
        return at_once

    assert asyncio.run(run()) == AT_ONCE
    assert len(under_way) == 3 * AT_ONCE + 1


class Lease:
    def __init__(self) -> None:
        self.released = False

    async def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(("pass_s", "released"), [(0.1, True), (30.0, False)])
def test_the_lease_is_given_back_after_the_last_pass_or_not_at_all(
    pass_s: float, released: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FINISH_S", 1.0)
    said: list[str] = []

    class Reconciler:
        async def reconcile(self, _: Any) -> float:
            await asyncio.sleep(pass_s)
            said.append("finished")
            return 60.0

    async def run() -> bool:
        runtime, lease = Runtime(load({"POD_NAMESPACE": "ns"})), Lease()
        runtime._lease = lease  # type: ignore[assignment]
        runtime._workers = [runtime._watch(runtime._work(Reconciler()))]  # type: ignore[arg-type]
        runtime.queue.add(("ns", "a"))
        await asyncio.sleep(0.02)
        runtime.queue.add(("ns", "b"))
        await runtime.stop()
        return lease.released

    assert asyncio.run(run()) == released
    assert said == (["finished"] if released else []), "what waits is left to the next operator"


def test_an_operator_that_starts_without_an_api_server_is_healthy_and_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a node's network or a proxy comes up after it; one answer is an error, one never
    comes."""
    monkeypatch.setattr(module, "CONNECT_S", 0.05)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    tried: list[int] = []

    async def run() -> tuple[set[int], bool]:
        port = free_ports(1)[0]
        runtime = Runtime(
            load({"POD_NAMESPACE": "ns", "HEALTH_PORT": str(port), "LEADER_ELECTION": "false"})
        )
        answered = asyncio.Event()

        async def connect() -> Any:
            tried.append(len(tried))
            if len(tried) == 1:
                raise aiohttp.ClientConnectionError("refused")
            if not answered.is_set():
                await asyncio.Event().wait()
            return Kubernetes(None, None)  # type: ignore[arg-type]

        async def nothing(*_: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(module.Kubernetes, "connect", connect)
        monkeypatch.setattr(runtime, "_ping", nothing)
        monkeypatch.setattr(runtime, "_lead", nothing)
        starting = asyncio.create_task(runtime.start())
        codes = set()
        async with aiohttp.ClientSession() as session:
            while len(tried) < 3:
                await asyncio.sleep(0.01)
                with contextlib.suppress(
                    aiohttp.ClientConnectionError
                ):  # in its first moment nobody listens
                    async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                        codes.add(answer.status)
        answered.set()
        await asyncio.wait_for(starting, 30)
        connected = runtime._api is not None
        runtime._api = None
        await runtime.stop()
        return codes, connected

    assert asyncio.run(run()) == ({200}, True)


def test_what_others_label_as_ours_is_read_in_small_parts() -> None:
    """120 labelled Secrets of 0.9 MB took 521 MiB at the start, beyond the operator's limit."""
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    assert settings.watching.chunk_size is not None
    assert settings.watching.chunk_size * 1.5 <= 30, (
        "MB of one answer, at the API server's limit for an object"
    )
