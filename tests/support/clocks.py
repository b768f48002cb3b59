"""Both clocks of real nodes, set by a test at any time: the wall, and the running clock that
libfaketime leaves alone.

A small library, compiled when it is wanted (clocks.c), is preloaded into the nodes. What a node's
clocks show is a function of true time alone, so a node that is killed and started again finds them
as they are by then."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("clocks.c")
COMPILER: Final = shutil.which("cc") or shutil.which("gcc")
MISSING: Final = "no C compiler is installed (make packages)"
SLOTS: Final = 256
_SLOT = struct.Struct("<qqqqqq")
_NUMBER = struct.Struct("<q")
_MILLION: Final = 1_000_000
_S: Final = 1_000_000_000
Shown = tuple[int, int, int]


class Clocks:
    def __init__(self, directory: Path, nodes: int) -> None:
        """`directory` must be there, and is where the library and the files are put. Raises
        CalledProcessError."""
        self._library = directory / "clocks.so"
        assert COMPILER is not None, MISSING
        command = [
            COMPILER,
            "-shared",
            "-fPIC",
            "-O2",
            "-o",
            str(self._library),
            str(SOURCE),
            "-ldl",
        ]
        subprocess.run(command, check=True, capture_output=True)
        self._paths = [directory / f"clocks-{node}" for node in range(nodes)]
        self._files = [self._made(path) for path in self._paths]
        now, boot = time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._walls: list[Shown] = [(now, time.time_ns(), _MILLION)] * nodes
        self._running: list[Shown] = [(now, boot, _MILLION)] * nodes
        self._slots = [0] * nodes
        for node in range(nodes):
            self._write(node)

    @staticmethod
    def _made(path: Path) -> mmap.mmap:
        path.write_bytes(bytes(_NUMBER.size + SLOTS * _SLOT.size))
        with path.open("r+b") as file:
            return mmap.mmap(file.fileno(), 0)

    @property
    def environment(self) -> dict[str, str]:
        """Of a devcluster."""
        files = {f"TEST_CLOCKS_FILE_{node}": str(path) for node, path in enumerate(self._paths)}
        return {"LD_PRELOAD": str(self._library), **files}

    def wall(self, node: int, ahead_s: float | None = None, rate: float = 1.0) -> None:
        """So far ahead of the true one from now on, and at that speed; None: it goes on from where
        it is."""
        at = time.monotonic_ns()
        shown = (
            _shown(self._walls[node], at)
            if ahead_s is None
            else time.time_ns() + round(ahead_s * _S)
        )
        self._walls[node] = (at, shown, round(rate * _MILLION))
        self._write(node)

    def running(self, node: int, rate: float) -> None:
        """At that speed from now on. Nobody sets a running clock, so it goes on from where it
        is."""
        at = time.monotonic_ns()
        self._running[node] = (at, _shown(self._running[node], at), round(rate * _MILLION))
        self._write(node)

    def runs_slowly(self) -> list[int]:
        """Nodes whose running clock is not at full speed."""
        return [node for node, (_, _, rate) in enumerate(self._running) if rate != _MILLION]

    def _write(self, node: int) -> None:
        number = self._slots[node] = self._slots[node] + 1
        file = self._files[node]
        _SLOT.pack_into(
            file,
            _NUMBER.size + number % SLOTS * _SLOT.size,
            *self._walls[node],
            *self._running[node],
        )
        _NUMBER.pack_into(file, 0, number)


def _shown(clock: Shown, at: int) -> int:
    since, showed, rate = clock
    return showed + (at - since) * rate // _MILLION
