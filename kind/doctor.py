"""What this machine has and lacks for a local cluster, with a remedy for each lack. Changes
nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kind.tools import engine, host
from kind.tools.settings import DISK_NEEDED_GIB
from kind.tools.shell import Problem


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    good: bool
    what: str
    remedy: str = ""


def findings(cache_folder: Path) -> list[Finding]:
    """All that matters on this machine; where images can be pulled, what a build would need does
    not matter."""
    found = [_engine()]
    free = host.free_gib(cache_folder)
    found.append(
        Finding(
            free >= DISK_NEEDED_GIB, f"{free:.0f} GiB free for {cache_folder}", "free some space"
        )
    )
    if engine.runs() and engine.can_pull():
        return [*found, Finding(True, "images can be pulled: nothing is built from source")]
    found.append(
        Finding(
            sys.platform == "linux", f"images would be built here, on {sys.platform}", "use Linux"
        )
    )
    checks: tuple[Callable[[], str], ...] = (
        host.checked_go,
        lambda: f"Debian archive: {host.debian_mirror(host.apt_sources())}",
    )
    found += [_checked(check) for check in checks]
    if missing := host.missing_packages():
        packages = " ".join(missing)
        found.append(
            Finding(
                os.geteuid() == 0,
                f"packages to be installed: {packages}",
                f"run as root: apt-get install {packages}",
            )
        )
    found.append(Finding(True, f"control groups of version {1 if host.has_cgroup_v1() else 2}"))
    if host.lacks_sys_resource(host.this_process_status()):
        found.append(
            Finding(
                True,
                "CAP_SYS_RESOURCE is missing: containers run without it (kind/image/runc-bounded)",
            )
        )
    return found


def _engine() -> Finding:
    if engine.runs():
        return Finding(True, "a Docker engine runs")
    can_start = (
        sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None
    )
    return Finding(
        can_start,
        "no Docker engine runs; `up` would start one",
        "start Docker, or be root on a Debian",
    )


def _checked(check: Callable[[], str]) -> Finding:
    try:
        return Finding(True, check())
    except Problem as problem:
        return Finding(False, problem.what, problem.remedy)
