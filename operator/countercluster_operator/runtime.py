"""The running operator: the queue, its workers, the lease, health. Everything that runs in the background is watched: what ends by itself ends
the process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from countercluster_operator.api import Kubernetes
from countercluster_operator.health import Health
from countercluster_operator.lease import Lease
from countercluster_operator.reconcile import Key, Reconciler
from countercluster_operator.settings import Settings
from countercluster_operator.workqueue import WorkQueue

log = logging.getLogger("countercluster_operator")

EXIT_BROKEN = 1


class Runtime:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.queue: WorkQueue[Key] = WorkQueue()
        self.health = Health(self.queue.oldest_age_s, lambda: self.queue.depth)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._api: Kubernetes | None = None
        self._lease: Lease | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        self._api = await Kubernetes.connect()
        self._lease = Lease(self._api, self.settings.own_namespace, self.settings.identity)
        self._runner = await self.health.serve(self.settings.health_port)
        self._watch(self._lead())

    async def stop(self) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._lease is not None:
            with contextlib.suppress(Exception):
                await self._lease.release()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._api is not None:
            await self._api.close()

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._stopping or task.cancelled():
            return
        self.health.broken = f"a task ended: {task.exception() or 'without an error'}"
        log.critical("%s", self.health.broken, exc_info=task.exception())
        os._exit(EXIT_BROKEN)  # nothing half alive: Kubernetes starts a whole one

    async def _lead(self) -> None:
        """Waits for the lease, starts the workers, returns (and so ends the process) when it is lost."""
        assert self._api is not None
        assert self._lease is not None
        if self.settings.elect:
            await self._lease.acquire()
        self.health.leading.set(1)
        reconciler = Reconciler(self._api, self.settings)
        for _ in range(self.settings.workers):
            self._watch(self._work(reconciler))
        if self.settings.elect:
            await self._lease.keep()
            raise RuntimeError("the lease was lost")
        await asyncio.Event().wait()

    async def _work(self, reconciler: Reconciler) -> None:
        while True:
            key = await self.queue.get()
            start = time.monotonic()
            try:
                again_s = await reconciler.reconcile(key)
            except Exception as error:
                delay_s = self.queue.failed(key)
                self.health.reconciles.labels("error").inc()
                log.warning("pass failed: %s", error, exc_info=True, extra={"cluster": "/".join(key), "again_in_s": round(delay_s, 1)})
            else:
                self.queue.done(key)
                self.health.reconciles.labels("ok").inc()
                if again_s is None:
                    self.queue.forget(key)
                else:
                    self.queue.add_after(key, again_s)
            self.health.seconds.observe(time.monotonic() - start)
            assert self._api is not None
            self.health.api_calls.set(self._api.calls)
