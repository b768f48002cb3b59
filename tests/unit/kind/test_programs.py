"""How the programs of the control plane are found in a node of a pulled cluster: by a shell, tried
here on this machine's own processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kind.tools import programs
from kind.tools.shell import Problem
from kind.tools.store import Store


def _found(name: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", programs._FIND.format(name=name)], capture_output=True, check=False
    )


@pytest.mark.skipif(
    sys.platform != "linux", reason="the nodes are Linux, and so is this shell's /proc"
)
def test_a_running_program_and_an_installed_one_are_found_by_their_names(tmp_path: Path) -> None:
    sleep = shutil.which("sleep")
    assert sleep is not None
    program = Path(shutil.copy(sleep, tmp_path / "kube-sleeper"))
    with subprocess.Popen([program, "60"]) as running:
        try:
            assert _found("kube-sleeper").stdout == program.read_bytes()
        finally:
            running.kill()
    installed = next(
        p
        for p in (Path("/usr/bin/env"), Path("/usr/bin/expr"))
        if p.is_file() and not p.is_symlink()
    )
    assert _found(installed.name).stdout == installed.read_bytes()
    missing = _found("no-such-program")
    assert (missing.returncode, missing.stdout) == (1, b"")


def test_without_programs_the_error_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "cache_root", lambda: tmp_path)
    assert not programs.are_here(Store(tmp_path))
    with pytest.raises(
        Problem, match=r"kube-apiserver is not here yet\n  remedy: python3 kind/local.py programs"
    ):
        programs.command("kube-apiserver")
