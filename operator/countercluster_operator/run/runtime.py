"""The running operator: the queue, its workers, the lease, health. Everything that runs in the
background is watched: what ends by itself ends the process.

While the Lease is not held there are no workers, and nothing is remembered: another operator may
have acted meanwhile. An API server that is away for minutes is no reason to end: Kubernetes would
start the operator ever more rarely, and nobody would look after anything when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

from countercluster_operator import names
from countercluster_operator.run.health import PING_S, Health
from countercluster_operator.run.lease import NAME, Lease, NotLeading
from countercluster_operator.run.reconcile import Reconciler
from countercluster_operator.run.settings import Settings
from countercluster_operator.run.turns import Key
from countercluster_operator.run.workqueue import WorkQueue
from countercluster_operator.world.api import UNREACHABLE, Kubernetes
from countercluster_operator.world.refusals import reason

log = logging.getLogger("countercluster_operator")

EXIT_BROKEN = 1
RESYNC_S = 120.0
PASS_S = 180.0
"""Nothing of a pass goes on after this."""
BURST_S = 0.05
"""A burst of events is one look."""
CONNECT_S, RETRY_S = 30.0, 2.0
FINISH_S = 8.0
"""What a pass may take when the operator ends; the pod's grace period is longer."""


class Runtime:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.queue: WorkQueue[Key] = WorkQueue()
        self.health = Health(
            self._queue_age_s,
            lambda: self.queue.depth,
            lambda: self._api.calls if self._api is not None else {},
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._workers: list[asyncio.Task[None]] = []
        self._versions: dict[
            tuple[str, str, str], str
        ] = {}  # of everything that the watches showed
        self._stopping = asyncio.Event()
        self._api: Kubernetes | None = None
        self._lease: Lease | None = None
        self._reconciler: Reconciler | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Tells its health from the beginning: who waits for the API server is not sick."""
        self._runner = await self.health.serve(self.settings.health_port)
        self._api = await self._connect()
        self._lease = Lease(self._api.urgent(), self.settings.own_namespace, self.settings.identity)
        self._watch(self._ping(self._api.urgent()))
        self._watch(self._lead())

    async def _connect(self) -> Kubernetes:
        """An API server that is away is waited for, as later; how long is the matter of
        `Health`."""
        while True:
            try:
                async with asyncio.timeout(CONNECT_S):
                    api = await Kubernetes.connect()
            except UNREACHABLE as error:
                log.warning("the API server does not answer: %s", reason(error))
                await asyncio.sleep(RETRY_S)
            else:
                self.health.answered()
                return api

    async def stop(self) -> None:
        """What is being done is finished, then the Lease is given back: not before, as the next
        operator begins at once."""
        self._stopping.set()
        finished = True
        if self._workers:
            _, unfinished = await asyncio.wait(self._workers, timeout=FINISH_S)
            finished = not unfinished
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._lease is not None and finished:
            with contextlib.suppress(*UNREACHABLE):
                await self._lease.release()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._api is not None:
            await self._api.close()

    def saw(self, owner: str, kind: str, body: dict[str, Any], event: str | None) -> None:
        """A watch shows the CounterCluster `owner` or one of its children. `event` is None for what
        was only listed again, every few minutes: that wakes nobody when it is known already."""
        self.health.event()
        meta = body["metadata"]
        key = (kind, meta["namespace"], meta["name"])
        known = self._versions.get(key)
        if event == "DELETED":
            self._versions.pop(key, None)
        else:
            self._versions[key] = meta["resourceVersion"]
        if self._reconciler is not None and kind != names.KIND:
            self._reconciler.watched(kind, body, gone=event == "DELETED")
        if event is not None or known != meta["resourceVersion"]:
            self.queue.add_after((meta["namespace"], owner), BURST_S, new=True)

    def _queue_age_s(self) -> float:
        """Who stands by works on nothing, and that is as it should be."""
        return self.queue.oldest_age_s() if self._workers else 0.0

    def _watch(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._stopping.is_set() or task.cancelled():
            return
        self.health.broken = f"a task ended: {task.exception() or 'without an error'}"
        log.critical("%s", self.health.broken, exc_info=task.exception())
        os._exit(EXIT_BROKEN)  # nothing half alive: Kubernetes starts a whole one

    async def _lead(self) -> None:
        """Works while the Lease is held, and stands by until then."""
        assert self._api is not None
        assert self._lease is not None
        if not self.settings.elect:
            self._begin(self._api)
            await asyncio.Event().wait()
        while True:
            await self._lease.acquire()
            work = self._begin(self._api.guarded(self._lease.check))
            await self._lease.keep()
            log.warning("the Lease %s is lost: standing by until it can be had again", NAME)
            await self._stand_by(work)

    def _begin(self, api: Kubernetes) -> list[asyncio.Task[None]]:
        self.health.leading.set(1)
        self._reconciler = reconciler = Reconciler(api, self.settings)
        self._workers = [self._watch(self._work(reconciler)) for _ in range(self.settings.workers)]
        return [self._watch(self._resync()), *self._workers]

    async def _stand_by(self, work: list[asyncio.Task[None]]) -> None:
        """Whoever is in the middle of a pass is stopped there. Raises NotLeading when somebody does
        not stop, which ends the process."""
        self.health.leading.set(0)
        self._reconciler, self._workers = None, []
        for task in work:
            task.cancel()
        _, left = await asyncio.wait(work, timeout=FINISH_S)
        if left:
            raise NotLeading(f"the Lease {NAME} was lost in a pass that does not stop")
        self._tasks = [task for task in self._tasks if task not in work]

    async def _ping(self, api: Kubernetes) -> None:
        """Whether the API server can be reached, whoever leads and whatever happens in the
        cluster."""
        while True:
            try:
                await api.ping()
                self.health.answered()
            except UNREACHABLE as error:
                log.warning("the API server does not answer: %s", reason(error))
            await asyncio.sleep(PING_S)

    async def _resync(self) -> None:
        """A CounterCluster whose event was lost is found all the same."""
        assert self._api is not None
        listed: dict[str | None, list[Key]] = {}
        while True:
            for namespace in self.settings.namespaces or (None,):
                try:
                    listed[namespace] = await self._api.keys(
                        names.API_VERSION, names.KIND, namespace
                    )
                except UNREACHABLE as error:  # it keeps nobody from listing the others
                    where = f" in {namespace}" if namespace else ""
                    log.warning("CounterClusters not listed%s: %s", where, reason(error))
                    continue
                for key in listed[namespace]:
                    self.queue.add_after(key, random.uniform(0, RESYNC_S))  # not all at once
            self.health.clusters = sum(len(keys) for keys in listed.values())
            await asyncio.sleep(RESYNC_S)

    async def _next(self) -> Key | None:
        """None when the operator ends."""
        waiting = asyncio.ensure_future(self.queue.get())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if waiting.done():
                self.queue.failed(waiting.result())
            raise
        finally:
            waiting.cancel()  # which means nothing to one that is done
            stopping.cancel()
        return None if self._stopping.is_set() else waiting.result()

    async def _work(self, reconciler: Reconciler) -> None:
        while (key := await self._next()) is not None:
            start = time.monotonic()
            try:
                async with asyncio.timeout(PASS_S):
                    again_s = await reconciler.reconcile(key)
            except asyncio.CancelledError:
                self.queue.failed(key)
                raise
            except NotLeading as error:
                self.queue.failed(key)
                log.info("pass given up: %s", error, extra={"cluster": "/".join(key)})
            except Exception as error:
                delay_s = self.queue.failed(key)
                self.health.reconciles.labels("error").inc()
                log.warning(
                    "pass failed: %s",
                    error,
                    exc_info=True,
                    extra={"cluster": "/".join(key), "again_in_s": round(delay_s, 1)},
                )
            else:
                self.queue.done(key)
                self.health.reconciles.labels("ok").inc()
                if again_s is None:
                    self.queue.forget(key)
                else:
                    self.queue.add_after(key, again_s)
            self.health.passed()
            self.health.seconds.observe(time.monotonic() - start)
