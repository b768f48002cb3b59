"""A disk job on its way: written, tried again while there is no room for it, and reported when it
is durable.

A class, and not functions within one another, as those refer to each other in a ring. What is in a
ring stays until the collector of garbage comes by, which is rarely, and for ever when it was frozen
meanwhile (clock.py). Here that would be the entries of the job, and a whole received snapshot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from counter_node.node.disk_policy import Facts
from counter_node.node.disk_worker import DiskWorker
from counter_node.replica.disk_jobs import DiskJob
from counter_node.replica.replica import Replica
from counter_node.storage import DiskFullError, Storage


class Written(Protocol):
    """The node whose disk it is."""

    replica: Replica
    storage: Storage
    worker: DiskWorker
    failed: str


class Ends(Protocol):
    """Hears what became of a job."""

    def job_done(self, job: DiskJob, no_room: DiskFullError | None) -> None: ...

    def job_waits(self, error: DiskFullError | None, submit: Callable[[bool], None]) -> None: ...

    def job_failed(self, error: BaseException) -> None: ...


class Writing:
    __slots__ = ("_compact_to", "_ends", "_facts", "_job", "_no_room", "_node")

    def __init__(self, node: Written, ends: Ends, job: DiskJob, compact_to: int | None) -> None:
        replica = node.replica
        self._node, self._ends, self._job, self._compact_to = node, ends, job, compact_to
        self._no_room: DiskFullError | None = None
        self._facts = Facts(
            slow=job.install is not None or compact_to is not None,
            leads=replica.is_leader,
            entry_bytes=sum([len(e.data) for e in job.entries]),
            one_command_waits=replica.gateway.one_command_waits,
        )

    def submit(self, again: bool = False) -> None:
        facts = self._facts._replace(slow=True) if again else self._facts
        if not self._node.failed:
            self._node.worker.submit(self._write, self._done, facts)

    def _write(self) -> None:
        storage, job = self._node.storage, self._job
        self._no_room = None
        if self._compact_to is not None:
            storage.compact(self._compact_to)
        if job.install is not None:
            try:
                storage.save_snapshot(job.install)
            except DiskFullError as error:
                self._no_room = error.with_traceback(None)  # its frames refer to us
        if job.writes:
            storage.write(job.hard_state, job.entries, job.marker)

    def _done(self, error: BaseException | None) -> None:
        ends = self._ends
        if isinstance(error, DiskFullError):
            ends.job_waits(error, self.submit)
        elif error is not None:
            ends.job_failed(error)
        else:
            ends.job_waits(None, self.submit)
            ends.job_done(self._job, self._no_room)
