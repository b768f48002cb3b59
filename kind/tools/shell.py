"""Running other programs: output to a log, a clear error when one fails, none left behind when this
one is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path


class Problem(Exception):
    """Something that stops the work, with what to do about it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  remedy: {self.remedy}" if self.remedy else self.what


@cache
def _dies_with_parent() -> tuple[str, ...]:
    """A prefix that ends the child when this program is killed, so that no half build goes on in
    the background."""
    return ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


def run(
    *argv: str | Path,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    stdin: Path | None = None,
    nice: bool = False,
) -> str:
    """Runs a program to its end. Returns what it printed, or the empty string where that goes to
    `log`.

    Raises Problem, with the end of the output, when it fails, is missing, or takes longer than
    `timeout_s`."""
    command = [
        *_dies_with_parent(),
        *(("nice", "-n", "10") if nice else ()),
        *(str(word) for word in argv),
    ]
    shown = " ".join(str(word) for word in argv[:6])
    full_env = {**os.environ, **(env or {})}
    if not shutil.which(str(argv[0]), path=full_env.get("PATH")):
        raise Problem(f"{argv[0]} is not installed or not on PATH", "python3 kind/local.py doctor")
    source = stdin.open("rb") if stdin else None
    sink = log.open("ab") if log else None
    try:
        done = subprocess.run(
            command,
            stdin=source or subprocess.DEVNULL,
            stdout=sink or subprocess.PIPE,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            cwd=cwd,
            env=full_env,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Problem(f"`{shown}` did not end within {timeout_s:.0f} s") from late
    finally:
        for file in (source, sink):
            if file:
                file.close()
    if done.returncode:
        said = tail(log) if log else _text(done.stderr) or _text(done.stdout)
        where = f" (all of it: {log})" if log else ""
        raise Problem(f"`{shown}` failed with {done.returncode}{where}:\n{said.rstrip()}")
    return "" if log else _text(done.stdout)


def succeeds(*argv: str | Path, timeout_s: float = 30) -> bool:
    try:
        run(*argv, timeout_s=timeout_s)
    except Problem:
        return False
    return True


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log file."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16384))
        return "\n".join(_text(file.read()).splitlines()[-lines:])


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")
