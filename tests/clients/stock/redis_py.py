"""redis-py as people have it, blocking and not: see README.md. `redis_py.py blocking|asyncio PORT
KEY [once]`."""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

WORKERS = 4
PAUSE_S = 0.01


class Books:
    def __init__(self) -> None:
        self.errors: collections.Counter[str] = collections.Counter()
        self.acknowledged = 0
        self.gap_s = 0.0
        self.last = time.monotonic()
        self.lock = threading.Lock()

    def answers(self) -> None:
        with self.lock:
            self.acknowledged += 1
            now = time.monotonic()
            self.gap_s, self.last = max(self.gap_s, now - self.last), now
            if self.acknowledged == 20:
                print("counting", flush=True)

    def failed(self, error: Exception) -> None:
        with self.lock:
            self.errors[f"{type(error).__name__}: {error}"] += 1

    def print(self) -> None:
        print(
            json.dumps(
                {
                    "acknowledged": self.acknowledged,
                    "errors": self.errors,
                    "gap_ms": round(self.gap_s * 1000),
                }
            ),
            flush=True,
        )


def options(retry: Any = Retry) -> dict[str, Any]:
    return {"retry": retry(NoBackoff(), 0)} if sys.argv[4:] else {}


def basics(port: int, key: str) -> dict[str, str]:
    found: dict[str, str] = {}
    client = redis.Redis(port=port)

    def check(name: str, work: Callable[[], Any], wanted: Any = None) -> None:
        try:
            answers = work()
            found[name] = (
                "ok"
                if wanted is None or answers == wanted
                else f"answered {answers!r} for {wanted!r}"
            )
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"

    def pipeline(transaction: bool) -> list[Any]:
        with client.pipeline(transaction=transaction) as pipe:
            for _ in range(100):
                pipe.incr(f"{key}:{transaction}")
            return pipe.execute()

    def overflow() -> Any:
        client.set(key + ":e", 2**63 - 1)
        try:
            client.incr(key + ":e")
        except redis.ResponseError:
            return client.decr(key + ":e")
        return "no overflow was reported"

    check("defaults", lambda: client.incr(key + ":a"), 1)
    hello = client.execute_command("HELLO")
    found["protocol"] = (
        f"RESP{hello[b'proto'] if isinstance(hello, dict) else hello[hello.index(b'proto') + 1]}"
    )
    check("RESP2", lambda: redis.Redis(port=port, protocol=2).set(key + ":b", 2, ex=60), True)
    check("RESP3", lambda: redis.Redis(port=port, protocol=3).set(key + ":b", 3, ex=60), True)
    check("pipeline", lambda: pipeline(False), list(range(1, 101)))
    check("MULTI", lambda: pipeline(True), list(range(1, 101)))
    check(
        "WATCH",
        lambda: client.transaction(lambda pipe: pipe.multi() or pipe.incr(key + ":m"), key + ":m"),
        [1],
    )
    check("errors", overflow, 2**63 - 2)
    check("SCAN", lambda: sum(1 for _ in client.scan_iter(match=key + ":*")) >= 4, True)
    return found


async def basics_asyncio(port: int, key: str) -> dict[str, str]:
    """What differs: the same commands over the other transport."""
    found = {}
    for name, options in (("defaults", {}), ("RESP2", {"protocol": 2}), ("RESP3", {"protocol": 3})):
        async with redis.asyncio.Redis(port=port, **options) as client:
            found[name] = (
                "ok" if await client.incr(f"{key}:{name}") == 1 else "answered another value than 1"
            )
    async with redis.asyncio.Redis(port=port) as client:
        hello = await client.execute_command("HELLO")
        proto = hello[b"proto"] if isinstance(hello, dict) else hello[hello.index(b"proto") + 1]
        found["protocol"] = f"RESP{proto}"
        for name, transaction in (("pipeline", False), ("MULTI", True)):
            async with client.pipeline(transaction=transaction) as pipe:
                for _ in range(100):
                    pipe.incr(f"{key}:{name}")
                found[name] = (
                    "ok" if await pipe.execute() == list(range(1, 101)) else "out of order"
                )
        try:
            answers = await client.transaction(
                lambda pipe: pipe.multi() or pipe.incr(key + ":m"), key + ":m"
            )
            found["WATCH"] = "ok" if answers == [1] else f"answered {answers}"
        except redis.RedisError as error:
            found["WATCH"] = f"{type(error).__name__}: {error}"
        await client.set(key + ":e", 2**63 - 1)
        try:
            await client.incr(key + ":e")
            found["errors"] = "no overflow was reported"
        except redis.ResponseError:
            found["errors"] = (
                "ok" if await client.decr(key + ":e") == 2**63 - 2 else "answered another value"
            )
        found["SCAN"] = (
            "ok"
            if len([k async for k in client.scan_iter(match=key + ":*")]) >= 4
            else "keys are missing"
        )
    return found


def blocking(port: int, key: str) -> None:
    print(json.dumps(basics(port, key)), flush=True)
    sys.stdin.readline()
    client, books, stop = redis.Redis(port=port, **options()), Books(), threading.Event()

    def count() -> None:
        while not stop.wait(PAUSE_S):
            try:
                client.incr(key)
                books.answers()
            except redis.RedisError as error:
                books.failed(error)

    workers = [threading.Thread(target=count, daemon=True) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    sys.stdin.read()
    stop.set()
    for worker in workers:
        worker.join(15)
    books.print()


async def asyncio_(port: int, key: str) -> None:
    print(json.dumps(await basics_asyncio(port, key)), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    client, books, stop = (
        redis.asyncio.Redis(port=port, **options(redis.asyncio.retry.Retry)),
        Books(),
        asyncio.Event(),
    )

    async def count() -> None:
        while not stop.is_set():
            await asyncio.sleep(PAUSE_S)
            try:
                await client.incr(key)
                books.answers()
            except redis.RedisError as error:
                books.failed(error)

    workers = [asyncio.create_task(count()) for _ in range(WORKERS)]
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    await asyncio.wait(workers, timeout=15)
    books.print()


if __name__ == "__main__":
    which, given_port, given_key = sys.argv[1:4]
    if which == "blocking":
        blocking(int(given_port), given_key)
    else:
        asyncio.run(asyncio_(int(given_port), given_key))
