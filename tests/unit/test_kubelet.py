"""The test machine's view of an API server (tests/support/kubelet.py)."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.support.kubelet import Api


def test_what_went_between_two_watches_is_told_as_deleted() -> None:
    """A pod was replaced in the moment when a watch of ten minutes ended; its node kept the disk, and the new pod waited for ever."""

    def pod(uid: str) -> dict[str, object]:
        return {"metadata": {"name": "c-0", "uid": uid}}

    lists = iter([[pod("a"), pod("b")], [pod("c")]])
    events = iter([[("ADDED", pod("z")), ("DELETED", pod("z"))], [("MODIFIED", pod("c"))]])

    async def pods(request: web.Request) -> web.Response:
        if "watch" in request.query:
            return web.Response(text="".join(json.dumps({"type": kind, "object": item}) + "\n" for kind, item in next(events)))
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
