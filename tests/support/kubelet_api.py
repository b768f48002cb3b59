"""The few requests to an API server that a kubelet of the tests makes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

Object = dict[str, Any]


class Api:
    """The few requests of a kubelet."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        return cls(
            aiohttp.ClientSession(
                cluster["server"],
                headers=headers,
                connector=aiohttp.TCPConnector(ssl=context, limit=0),
            )
        )

    async def patch_status(self, path: str, status: Object) -> None:
        """Somebody may have deleted it meanwhile, which is fine."""
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        async with self.http.patch(
            f"{path}/status", json={"status": status}, headers=headers
        ) as answer:
            if answer.status not in (200, 404):
                raise RuntimeError(await answer.text())

    async def follow(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Everything that there is, then every change; for ever, and again after an error. What
        went between two watches is missing from the second list, and reported as deleted."""
        known: dict[str, Object] = {}
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self.http.get(path) as answer:
                    found = await answer.json()
                listed = {item["metadata"]["uid"]: item for item in found["items"]}
                for uid in known.keys() - listed.keys():
                    yield "DELETED", known.pop(uid)
                known = listed
                for item in found["items"]:
                    yield "LISTED", item
                query = {
                    "watch": "true",
                    "resourceVersion": found["metadata"]["resourceVersion"],
                    "timeoutSeconds": "600",
                }
                async with self.http.get(
                    path,
                    params=query,
                    timeout=aiohttp.ClientTimeout(total=None),
                    read_bufsize=1 << 22,
                ) as answer:
                    async for line in answer.content:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        kind, item = event["type"], event["object"]
                        if kind == "DELETED":
                            known.pop(item["metadata"]["uid"], None)
                        else:
                            known[item["metadata"]["uid"]] = item
                        yield kind, item
            await asyncio.sleep(0.2)
