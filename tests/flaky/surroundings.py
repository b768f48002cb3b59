"""Where a run takes place: beside processes that never rest, or on one core. What is started here
ends with this process, also when it is killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from tests.flaky.book import BUSY, ONE_CORE

BURN = (
    "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in "
    "range(1_000_000):\n        pass\n"
)
"""It looks for its parent now and then: nobody else would end it."""


@contextlib.contextmanager
def surroundings(which: str, burners: int) -> Iterator[None]:
    """For what is started inside."""
    with contextlib.ExitStack() as stack:
        if which == BUSY:
            for _ in range(burners):
                stack.enter_context(_burner())
        elif which == ONE_CORE:
            stack.enter_context(_one_core())
        yield


@contextlib.contextmanager
def _burner() -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", BURN, str(os.getpid())], stdin=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """The last one that may be used: interrupts are usually on the first. Children inherit it, like
    from `taskset`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def end_with_parent() -> None:
    """For a child, before it becomes another program: Linux interrupts it when this process ends,
    so that its fixtures end what they started."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
