"""Both faces of the client library behind one interface, so that one test is a test of both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

import pytest
from countercluster import AsyncCounters, Counters


class Threaded:
    """AsyncCounters for code that blocks: an event loop in a thread does the work."""

    def __init__(self, *urls: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self.counters = self._do(self._made(urls, options))
        except BaseException:
            self._end()
            raise

    async def _made(self, urls: Any, options: Any) -> AsyncCounters:
        return AsyncCounters(*urls, **options)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *words, **options: self._do(getattr(self.counters, name)(*words, **options))

    def within(self, deadline_s: float) -> Threaded:
        other = object.__new__(Threaded)
        other.__dict__.update(self.__dict__)
        other.counters = self.counters.within(deadline_s)
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self.counters.close())
        self._end()


FACES = pytest.mark.parametrize("face", [Counters, Threaded], ids=["blocking", "asyncio"])
