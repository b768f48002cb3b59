"""The test machine's view of an API server (tests/support/kubelet.py)."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support.kubelet import Kubelet
from tests.support.kubelet_api import Api


def test_what_went_between_two_watches_is_reported_as_deleted() -> None:
    """A pod was replaced in the moment when a watch of ten minutes ended; its node kept the disk,
    and the new pod waited for ever."""

    def pod(uid: str) -> dict[str, object]:
        return {"metadata": {"name": "c-0", "uid": uid}}

    lists = iter([[pod("a"), pod("b")], [pod("c")]])
    events = iter([[("ADDED", pod("z")), ("DELETED", pod("z"))], [("MODIFIED", pod("c"))]])

    async def pods(request: web.Request) -> web.Response:
        if "watch" in request.query:
            return web.Response(
                text="".join(
                    json.dumps({"type": kind, "object": item}) + "\n" for kind, item in next(events)
                )
            )
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": next(lists)})

    async def follow() -> list[tuple[str, str]]:
        application = web.Application()
        application.router.add_get("/pods", pods)
        seen: list[tuple[str, str]] = []
        async with TestClient(TestServer(application)) as client:
            async for kind, item in Api(client).follow("/pods"):  # asked like a session
                seen.append((kind, item["metadata"]["uid"]))
                if kind == "MODIFIED":
                    break
        return seen

    seen = asyncio.run(follow())
    assert seen[:4] == [("LISTED", "a"), ("LISTED", "b"), ("ADDED", "z"), ("DELETED", "z")]
    assert sorted(seen[4:6]) == [("DELETED", "a"), ("DELETED", "b")]
    assert seen[6:] == [("LISTED", "c"), ("MODIFIED", "c")]


@pytest.mark.parametrize("turns", range(8))
def test_the_end_of_a_pod_is_not_lost_when_its_probe_is_answered_in_the_same_moment(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """It was: the node of a deleted pod ran for ever, and took the machine from the tests that
    followed."""

    class Writer:
        def write(self, data: bytes) -> None: ...

        def close(self) -> None: ...

    async def probe() -> bool:
        reader = asyncio.StreamReader()

        async def connected(*_: object, **__: object) -> tuple[asyncio.StreamReader, Writer]:
            return reader, Writer()

        monkeypatch.setattr(asyncio, "open_connection", connected)
        probing = asyncio.create_task(Kubelet._ready(cast(Kubelet, None), "127.0.0.1", None))
        for _ in range(5):
            await asyncio.sleep(0)
        reader.feed_data(b"HTTP/1.1 200 OK\r\n")
        for _ in range(turns):
            await asyncio.sleep(0)
        if probing.done():
            return True
        probing.cancel()
        await asyncio.wait([probing])
        return probing.cancelled()

    assert asyncio.run(probe())
