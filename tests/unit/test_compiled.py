"""A compiled module that does not fit its source is noticed before it misleads anybody."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests import conftest

ROOT = Path(__file__).resolve().parents[2]
COMPILE = ROOT / "node_image/compile.py"
SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))


def check(root: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, COMPILE, "--check", "--root", root],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_module_made_from_another_source_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "counter_node/fast"
    folder.mkdir(parents=True)
    (folder / "lane.pyx").write_text("x = 1\n")
    assert check(tmp_path) == (0, ""), "nothing is compiled, which works as well"
    digest = "counter_node source 24c9c49cacd64cd4bf74e7f2d8f05f8c7fa07c9a49f1d44dd7b5a9e6cbdc1c28"
    (folder / f"lane{SUFFIX}").write_bytes(b"\x7fELF" + digest.encode() + b"\0")
    code, printed = check(tmp_path)
    assert code == 1
    assert printed.endswith(f"lane{SUFFIX}: compiled from another source than is there\n")


@pytest.mark.skipif(
    not list((ROOT / "node_image").rglob(f"*{SUFFIX}")), reason="nothing is compiled here"
)
def test_what_make_setup_compiled_fits_until_the_source_changes(tmp_path: Path) -> None:
    assert check(ROOT / "node_image") == (0, "")
    made = next(iter((ROOT / "node_image").rglob(f"lane{SUFFIX}")))
    folder = tmp_path / "counter_node/fast"
    folder.mkdir(parents=True)
    (folder / made.name).write_bytes(made.read_bytes())
    source = made.with_name("lane.pyx").read_text()
    (folder / "lane.pyx").write_text(source)
    assert check(tmp_path)[0] == 0
    (folder / "lane.pyx").write_text(source + "\n# changed\n")
    assert check(tmp_path)[0] == 1


def test_no_test_runs_with_a_stale_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "compile.py"
    copy.write_text(COMPILE.read_text())
    folder = tmp_path / "counter_node"
    folder.mkdir()
    (folder / "lane.pyx").write_text("x = 1\n")
    (folder / f"lane{SUFFIX}").write_bytes(b"made long ago")
    monkeypatch.setattr(conftest, "COMPILE", copy)
    monkeypatch.delenv("COUNTER_PURE", raising=False)
    with pytest.raises(pytest.UsageError, match="run make setup"):
        conftest.pytest_configure(None)  # type: ignore[arg-type]
    monkeypatch.setenv("COUNTER_PURE", "1")
    conftest.pytest_configure(None)  # type: ignore[arg-type]
