"""Wall clocks that are wrong, for real processes: Debian's libfaketime, one file of offsets for
each node.

The running clock (CLOCK_BOOTTIME) and timers are left alone, as they are when a wall clock is set.
"""

from __future__ import annotations

from pathlib import Path

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
MISSING = "libfaketime is not installed (make packages)"
NOTE = "clock.json"


class WrongClocks:
    def __init__(self, directory: Path, nodes: int) -> None:
        self._files = [directory / f"clock-{node}" for node in range(nodes)]
        for node in range(nodes):
            self.set(node, "+0")

    def set(self, node: int, offset: str) -> None:
        """`+8h`, `-1h`, `+365d`: from now on, also for a running process."""
        new = self._files[node].with_suffix(".new")
        new.write_text(offset + "\n")
        new.replace(self._files[node])

    @property
    def environment(self) -> dict[str, str]:
        """Of a devcluster."""
        files = {
            f"FAKETIME_TIMESTAMP_FILE_{node}": str(file) for node, file in enumerate(self._files)
        }
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            **files,
        }


def boot_again(directory: Path) -> None:
    """What a node's data folder lacks when its pod comes up on another machine, or on a booted one:
    a note that is of use."""
    for note in directory.glob(f"node-*/data/{NOTE}"):
        note.unlink()
