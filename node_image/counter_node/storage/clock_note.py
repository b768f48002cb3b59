"""Log time by this machine's running clock, kept on the disk for the next process (log_time.py).

The running clock goes on while a process is down and begins again when the machine is booted, so
the file names the boot. What cannot be read, or is of another boot, is no note. It is written
beside everything else and never synced: after a power cut it is of another boot anyway."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from pathlib import Path
from typing import Final

import msgspec

from ..replica.log_time import Note

FILE: Final = "clock.json"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
STA_UNSYNC: Final = 0x40
_TIMEX_BYTES: Final = 512  # more than any struct timex
_STATUS_OFFSET: Final = 5 * ctypes.sizeof(
    ctypes.c_long
)  # modes (padded), offset, freq, maxerror, esterror


class _Kept(msgspec.Struct, frozen=True):
    boot_id: str
    elapsed_ms: int
    running_ms: float
    last_index: int


def wall_ms() -> int:
    return int(time.time() * 1000)


def running_ms() -> float:
    """Nobody sets this clock, and it goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) * 1000


def synchronised() -> bool:
    """Whether the kernel says that somebody keeps the wall clock right (adjtimex). Asking needs no
    right; False where it cannot be asked."""
    try:
        found = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only asks
        if ctypes.CDLL(None, use_errno=True).adjtimex(found) < 0:
            return False
    except (OSError, AttributeError):
        return False
    return not ctypes.c_int.from_buffer(found, _STATUS_OFFSET).value & STA_UNSYNC


def boot_id(path: Path = BOOT_ID) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def load(directory: Path, boot: str, running: float) -> tuple[Note, int] | None:
    """The note, and the last index in the log when it was kept."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        kept = msgspec.json.decode((directory / FILE).read_bytes(), type=_Kept)
        if (
            boot
            and kept.boot_id == boot
            and 0 <= kept.running_ms <= running
            and kept.elapsed_ms >= 0
        ):
            return Note(kept.elapsed_ms, kept.running_ms), kept.last_index
    return None


def save(directory: Path, boot: str, note: Note, last_index: int) -> bool:
    """Whether it is kept. Never raises: without a note the others are asked."""
    if not boot:
        return False
    new = directory / (FILE + ".new")
    with contextlib.suppress(OSError):
        new.write_bytes(
            msgspec.json.encode(_Kept(boot, note.elapsed_ms, note.running_ms, last_index))
        )
        os.replace(new, directory / FILE)
        return True
    return False
