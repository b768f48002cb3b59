"""The Docker engine: the one that runs, or one that this program starts and later stops.

Rules:
1. A running engine is used as it is and never stopped.
2. An own engine keeps its data in the cache. It is ended by its process id, after a look at that
   process's command line.
3. After a crash its stale pid files and its orphaned containerd are put away before it starts
   again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from kind.tools import host
from kind.tools.settings import HERE
from kind.tools.shell import Problem, run, succeeds, tail
from kind.tools.store import Store

START_S = 60
STOP_S = 40
PROBE_S = 15
PROBE_IMAGE = "hello-world:latest"
OVERRIDE = "COUNTERCLUSTER_IMAGES"
EXEC_ROOT = Path("/run/countercluster-docker")

# Without BuildKit's plugin (Debian has none) the classic builder does it; both read our
# Dockerfiles.
CLASSIC_BUILDER = {"DOCKER_BUILDKIT": "0"}


def runs() -> bool:
    return shutil.which("docker") is not None and succeeds("docker", "version", timeout_s=10)


@cache
def can_pull() -> bool:
    """Whether images can be had from a registry: asked once, with one tiny image.
    `COUNTERCLUSTER_IMAGES` overrides it."""
    chosen = os.environ.get(OVERRIDE, "")
    if chosen not in ("", "pull", "build"):
        raise Problem(
            f"{OVERRIDE} is {chosen!r}", f"set {OVERRIDE} to pull or build, or leave it out"
        )
    if chosen:
        return chosen == "pull"
    return succeeds("docker", "pull", "--quiet", PROBE_IMAGE, timeout_s=PROBE_S)


def builder_env() -> dict[str, str]:
    return {} if succeeds("docker", "buildx", "version") else CLASSIC_BUILDER


class Engine:
    """The engine that this program owns, with its files below `<cache>/docker`."""

    def __init__(self, store: Store) -> None:
        self.folder = store.root / "docker"
        self.pid_file = self.folder / "dockerd.pid"
        self.log = store.log("dockerd")

    def pid(self) -> int | None:
        """The process id of the own engine, if it runs."""
        pid = _read_pid(self.pid_file)
        return pid if pid and _is_running(pid, "dockerd", str(self.folder)) else None

    def start(self) -> bool:
        """Makes sure that an engine runs. Says whether it had to be started. Raises Problem when it
        does not come up."""
        if runs():
            return False
        if sys.platform != "linux":
            raise Problem(
                "no Docker engine runs", "start Docker Desktop (or colima, podman machine, …)"
            )
        if os.geteuid() != 0:
            raise Problem(
                "no Docker engine runs that this user may use", "start Docker, or run this as root"
            )
        self.put_away_left_overs()
        process = self._spawn()
        deadline = time.monotonic() + START_S
        while not runs():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Problem(
                    f"dockerd did not come up (all it said: {self.log}):\n{tail(self.log)}"
                )
            time.sleep(0.3)
        return True

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        bounded = host.lacks_sys_resource(host.this_process_status())
        command = [
            "dockerd", "--data-root", str(self.folder / "data"), "--exec-root", str(EXEC_ROOT),
            "--pidfile", str(self.pid_file), "--log-level", "warn",
            *(("--add-runtime", f"bounded={self._runc_bounded()}", "--default-runtime",
            "bounded") if bounded else ()),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _runc_bounded(self) -> Path:
        """A copy of the wrapper in the cache, run by this very Python: the clone may go while the
        engine runs on."""
        script = (HERE / "image" / "runc-bounded").read_text()
        body = script.split("\n", 1)[1]
        copy = self.folder / "runc-bounded"
        new = copy.with_suffix(".new")
        new.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{body}")
        new.chmod(0o755)
        new.rename(copy)
        return copy

    def put_away_left_overs(self) -> None:
        """After a crash: ends an engine that hangs and the containerd it left, and removes stale
        pid files and sockets."""
        for file, program in (
            (self.pid_file, "dockerd"),
            (EXEC_ROOT / "containerd" / "containerd.pid", "containerd"),
        ):
            pid = _read_pid(file)
            if pid and _is_running(pid, program, str(EXEC_ROOT)):
                _end(pid, STOP_S)
            file.unlink(missing_ok=True)
        for shim in orphaned_shims(EXEC_ROOT):
            _end(shim, 5)
        for socket in EXEC_ROOT.glob("containerd/*.sock*"):
            socket.unlink(missing_ok=True)

    def stop(self) -> bool:
        """Ends the own engine, if it runs. Says whether there was one."""
        pid = self.pid()
        if pid is None:
            return False
        _end(pid, STOP_S)
        return True


def orphaned_shims(exec_root: Path, proc: Path = Path("/proc")) -> list[int]:
    """The process ids of container shims that belong to the engine with this exec root."""
    address = str(exec_root / "containerd")
    return [
        int(entry.name)
        for entry in proc.iterdir()
        if entry.name.isdigit()
        and "containerd-shim" in _command_line(entry)
        and address in _command_line(entry)
    ]


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _is_running(pid: int, program: str, mark: str) -> bool:
    """Whether the process is that program with that path among its arguments: a pid alone may have
    been given out again."""
    line = _command_line(Path(f"/proc/{pid}"))
    return program in line.split(" ", 1)[0] and mark in line


def _read_pid(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def _end(pid: int, patience_s: float) -> None:
    """SIGTERM, and SIGKILL when that is not enough."""
    deadline = time.monotonic() + patience_s
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.2)
        deadline = time.monotonic() + 5


def _alive(pid: int) -> bool:
    """Whether a process is there and not a zombie (this program is itself the parent of an engine
    that it just started)."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return not re.search(r"\) Z ", Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return False


def has_image(tag: str) -> bool:
    return succeeds("docker", "image", "inspect", tag)


def image_ids(tags: tuple[str, ...]) -> dict[str, str]:
    """The id of each of these images that the engine has."""
    found: dict[str, str] = {}
    for tag in tags:
        with contextlib.suppress(Problem):
            found[tag] = str(json.loads(run("docker", "image", "inspect", tag))[0]["Id"])
    return found


def forget_old_tags(current: str, kept: int) -> None:
    """Drops all but the newest few hash tags of an image and the current one.

    One that a container still uses stays until the next time.
    """
    name, key = current.split(":")
    tags = run("docker", "image", "ls", "--format", "{{.Tag}}", name).split()
    for old in superseded([tag for tag in tags if not tag.startswith(key)], kept - 1):
        with contextlib.suppress(Problem):
            run("docker", "image", "rm", f"{name}:{old}")


def superseded(tags: Iterable[str], kept: int) -> list[str]:
    """Of an image's tags, newest first, the hash tags (with what derives from them) past the first
    few."""
    keys: list[str] = []
    old: list[str] = []
    for tag in tags:
        key = tag.removesuffix("-next")
        if not re.fullmatch("[0-9a-f]{16}", key):
            continue
        if key not in keys:
            keys.append(key)
        if keys.index(key) >= kept:
            old.append(tag)
    return old
