"""The clock of a node: ticks, and what is checked with them. It also keeps the note of log time
on the disk (storage/clock_note.py)."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any, Protocol

from counter_node import memory
from counter_node.logs import log
from counter_node.net.clients import ClientServer
from counter_node.net.peers import Peers
from counter_node.node.disk import MIND_DISK_MS, Disk
from counter_node.node.peering import Peering
from counter_node.replica.log_time import Note, holds, worth_keeping
from counter_node.replica.replica import Replica
from counter_node.security.tls import Tls
from counter_node.settings import Settings
from counter_node.storage import Recovered, clock_note
from counter_node.users.access import Access
from counter_node.views.metrics import Metrics

KEEP_NOTE_MS = 1_000
"""How often the note of log time goes to the disk. An old one is nearly as good: clocks drift."""
FREEZE_EVERY = 500
"""So many more containers of the state are taken out of the sight of the collector of garbage. One
holds up to 128 names, and the collector looks at each: some 3 ms."""


class Ticked(Protocol):
    """What the clock needs of the node."""

    settings: Settings
    replica: Replica
    clients: ClientServer
    peers: Peers
    metrics: Metrics
    returns: memory.Returns
    tls: Tls | None
    access: Access
    failed: str

    def spawn(self, work: Any) -> None: ...

    def wake(self) -> None: ...

    def end_with(self, error: BaseException) -> None: ...


class Clock:
    def __init__(
        self, node: Ticked, loop: asyncio.AbstractEventLoop, disk: Disk, peering: Peering
    ) -> None:
        self._node, self._loop = node, loop
        self._disk, self._peering = disk, peering
        self._boot_id = clock_note.boot_id()
        self._kept_note: tuple[Note, int] | None = None  # by this process
        self._saves_note = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_tick = 0.0
        self._ticks = 0
        self._frozen = 0

    def note(self, recovered: Recovered) -> Note | None:
        """The one on the disk, if it is of use to this process."""
        directory = Path(self._node.settings.data_dir)
        kept = clock_note.load(directory, self._boot_id, clock_note.running_ms())
        begins = recovered.snapshot.meta.index if recovered.snapshot is not None else 0
        return kept[0] if kept is not None and holds(kept[1], begins, recovered.entries) else None

    def begin(self) -> None:
        self._last_tick = self._loop.time()
        self._tick_later()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def keep_last_note(self) -> None:
        replica, settings = self._node.replica, self._node.settings
        if (note := replica.time.note) is not None and not self._node.failed:
            last_index = replica.raft.log.last_index
            clock_note.save(Path(settings.data_dir), self._boot_id, note, last_index)

    def _tick_later(self) -> None:
        self._timer = self._loop.call_later(self._node.settings.tick_ms / 1000, self._tick)

    def _tick(self) -> None:
        """After a stall no tick is counted, whatever time it took: what waits in the sockets is
        heard before any timer runs out."""
        node = self._node
        now = self._loop.time()
        lag = now - self._last_tick - node.settings.tick_ms / 1000
        self._last_tick = now
        node.metrics.loop_lag_seconds.observe(max(0.0, lag))
        stalled = lag > node.settings.election_ticks * node.settings.tick_ms / 2000
        self._tick_later()
        try:
            if stalled:
                log.warning("the loop stalled", extra={"seconds": round(lag, 3)})
                node.replica.stalled(lag * 1000 / node.settings.tick_ms)
            else:
                node.replica.tick()
                node.replica.govern(node.peers.levels())
        except Exception as error:
            node.end_with(error)
        self._freeze()
        machine = node.replica.machine
        node.returns.look(machine.size_bytes, machine.tidied_bytes, more=machine.untidy)
        self._ticks += 1
        if (
            node.replica.time.lowered
            or self._ticks * node.settings.tick_ms % KEEP_NOTE_MS < node.settings.tick_ms
        ):
            self._keep_note()
        if self._ticks * node.settings.tick_ms % MIND_DISK_MS < node.settings.tick_ms:
            self._disk.mind(again=True)
        node.clients.tick()
        node.peers.tick()
        if node.tls is not None:
            node.tls.refresh()
        node.access.refresh(node.clients.sessions)
        node.replica.governor.wanted.user_limits = node.access.user_limits
        self._peering.sync_links()
        node.wake()

    def _keep_note(self) -> None:
        node = self._node
        if self._saves_note:
            return  # tried again later: an older one must not come last
        note, last_index = node.replica.time.note, node.replica.raft.log.last_index
        node.replica.time.lowered = False
        if (
            note is not None
            and not node.failed
            and worth_keeping(self._kept_note, note, last_index)
        ):
            self._saves_note = True
            node.spawn(self._save_note(note, last_index))

    async def _save_note(self, note: Note, last_index: int) -> None:
        kept = await asyncio.to_thread(
            clock_note.save, Path(self._node.settings.data_dir), self._boot_id, note, last_index
        )
        self._kept_note, self._saves_note = (note, last_index) if kept else None, False

    def _freeze(self) -> None:
        """The collector of garbage looks through all containers now and then, those of a million
        counters for 0.05 s. So what the tables have grown by is taken out of its sight, soon: of
        ten million counters a quarter more held the loop for 115 ms. It is freed like everything
        else when nobody refers to it. Garbage would stay for ever; so it is collected before,
        where that is a matter of a few ms."""
        containers = self._node.replica.machine.containers()
        grown = containers - self._frozen
        if grown > FREEZE_EVERY:
            if grown < 2 * FREEZE_EVERY:
                gc.collect()
            gc.freeze()
        if not 0 <= grown <= FREEZE_EVERY:
            self._frozen = containers
