"""What this machine is and has. Reading only: nothing here changes anything."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

from kind.tools.settings import DISK_NEEDED_GIB, GO_MINIMUM, HOST_PACKAGES
from kind.tools.shell import Problem, run

CAP_SYS_RESOURCE = 24
LISTS_OLD_AFTER_S = 24 * 3600


def bounding_set(status: str) -> int:
    """The capability bounding set, as a bit mask, from the text of /proc/self/status. All bits
    where it does not say."""
    match = re.search(r"^CapBnd:\s*([0-9a-f]+)", status, re.MULTILINE)
    return int(match[1], 16) if match else -1


def lacks_sys_resource(status: str) -> bool:
    return not bounding_set(status) >> CAP_SYS_RESOURCE & 1


def this_process_status() -> str:
    path = Path("/proc/self/status")
    return path.read_text() if path.exists() else ""


def has_cgroup_v1(controllers: Path = Path("/sys/fs/cgroup/cgroup.controllers")) -> bool:
    """Whether containers here get control groups of version 1."""
    return sys.platform == "linux" and not controllers.exists()


def debian_mirror(sources: Iterable[str]) -> str:
    """The address of the main archive that this machine's apt uses, from the texts of its source
    files, old style or new.

    Raises Problem where there is none.
    """
    for address in _archives(sources):
        if "security" not in address:
            return address
    raise Problem(
        "apt on this machine has no source of Debian packages",
        "add one to /etc/apt/sources.list.d/",
    )


def debian_security(sources: Iterable[str]) -> str | None:
    """The address of the archive of security updates that this machine's apt uses, if it does."""
    return next((address for address in _archives(sources) if "security" in address), None)


def _archives(sources: Iterable[str]) -> Iterator[str]:
    for text in sources:
        for line in text.splitlines():
            words = line.split()
            if words and words[0] in ("URIs:", "deb"):
                yield from (word.rstrip("/") for word in words[1:] if "://" in word)


def apt_sources() -> list[str]:
    folder = Path("/etc/apt")
    files = [
        *sorted((folder / "sources.list.d").glob("*.sources")),
        *sorted((folder / "sources.list.d").glob("*.list")),
    ]
    main = folder / "sources.list"
    return [file.read_text() for file in [*files, *([main] if main.exists() else [])]]


def missing_packages(wanted: Collection[str] = tuple(HOST_PACKAGES)) -> list[str]:
    """Which of these Debian packages are not installed; by default of those that the build
    needs."""
    try:
        listed = run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")
    except Problem:
        return list(wanted)
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def install_packages(log: Path, wanted: Collection[str] = tuple(HOST_PACKAGES)) -> None:
    """Installs what `missing_packages` names. Raises Problem where this is not a Debian or not done
    by root."""
    missing = missing_packages(wanted)
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Problem(
            "there is no running Docker engine that can pull images, and this is no Debian, "
            "where one could be set up",
            "start Docker, with access to an image registry",
        )
    if os.geteuid() != 0:
        raise Problem(
            f"Debian packages are missing: {' '.join(missing)}",
            f"sudo apt-get install {' '.join(missing)}",
        )
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run("dpkg", "--configure", "-a", log=log, env=env)
    if _lists_are_old():
        run("apt-get", "update", log=log, env=env)
    try:
        _install(missing, log)
    except Problem:
        run("apt-get", "update", log=log, env=env)
        _install(missing, log)


def _install(packages: list[str], log: Path) -> None:
    run(
        "apt-get",
        "install",
        "-y",
        "--no-install-recommends",
        *packages,
        log=log,
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )


def _lists_are_old() -> bool:
    newest = max(
        (p.stat().st_mtime for p in Path("/var/lib/apt/lists").glob("*_Packages*")), default=0.0
    )
    return time.time() - newest > LISTS_OLD_AFTER_S


def go_version(text: str) -> tuple[int, int]:
    """(1, 26) from what `go version` prints."""
    match = re.search(r"go(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


@cache
def checked_go() -> str:
    """The full version of the Go toolchain. Raises Problem where there is none or it is too old."""
    wanted = ".".join(map(str, GO_MINIMUM))
    if not shutil.which("go"):
        raise Problem(
            "Go is not installed; kind's node image is built with it here",
            f"install Go {wanted} or later",
        )
    text = run("go", "version").strip()
    if go_version(text) < GO_MINIMUM:
        raise Problem(f"{text} is too old to build Kubernetes", f"install Go {wanted} or later")
    return text


def free_gib(folder: Path) -> float:
    """Free space where a folder is, or would be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**30


def check_disk(folder: Path) -> None:
    free = free_gib(folder)
    if free < DISK_NEEDED_GIB:
        raise Problem(
            f"{free:.0f} GiB are free for {folder}; the images need {DISK_NEEDED_GIB} GiB",
            "free some space, or point XDG_CACHE_HOME to a larger disk",
        )
