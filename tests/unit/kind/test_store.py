"""The content-addressed cache: same inputs, same artefact; nothing half made is ever seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kind.tools.store import KEPT_PER_NAME, Store, digest, mounts_below, processes_at, source_files


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_same_inputs_have_the_same_key_wherever_the_clone_is(tmp_path: Path) -> None:
    for clone in ("one", "two"):
        write(tmp_path / clone / "src" / "a.py", "a = 1")
        write(tmp_path / clone / "src" / "deep" / "b.py", "b = 2")
    assert digest("v1", tmp_path / "one" / "src") == digest("v1", tmp_path / "two" / "src")


@pytest.mark.parametrize("change", ["content", "name", "mode", "more"])
def test_any_change_of_a_source_changes_the_key(tmp_path: Path, change: str) -> None:
    file = write(tmp_path / "src" / "a.py", "a = 1")
    before = digest(tmp_path / "src")
    match change:
        case "content":
            file.write_text("a = 2")
        case "name":
            file.rename(file.with_name("b.py"))
        case "mode":
            file.chmod(0o755)
        case "more":
            write(tmp_path / "src" / "b.py", "")
    assert digest(tmp_path / "src") != before


def test_what_a_compiler_made_and_hidden_files_are_no_sources(tmp_path: Path) -> None:
    kept = [write(tmp_path / name, "") for name in ("a.py", "fast.pyx", "pause.c")]
    for name in (
        "__pycache__/a.cpython-313.pyc",
        ".hidden/b.py",
        "fast.c",
        "fast.cpython-313-x86_64-linux-gnu.so",
    ):
        write(tmp_path / name, "")
    assert source_files(tmp_path) == kept


def test_parts_of_a_key_cannot_run_into_each_other() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab") != digest(b"ab")


def test_an_interrupted_build_leaves_no_artefact(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def interrupted() -> None:
        with store.building("kube", "k1") as folder:
            write(folder / "half", "")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not store.has("kube", "k1")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_finished_build_is_there_under_its_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.building("kube", "k1") as folder:
        write(folder / "kube", "program")
    assert store.has("kube", "k1")
    assert (store.path("kube", "k1") / "kube").read_text() == "program"


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(tmp_path / "tmp" / "kube-1234" / "half", "")
    with store.exclusive():
        assert list((tmp_path / "tmp").iterdir()) == []


def test_only_the_most_recently_used_artefacts_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for age in range(KEPT_PER_NAME + 2):
        with store.building("image", f"k{age}"):
            pass
        os.utime(store.path("image", f"k{age}"), (1000 - age, 1000 - age))
    store.used("image", f"k{KEPT_PER_NAME + 1}")
    store.forget_old()
    assert store.has("image", f"k{KEPT_PER_NAME + 1}")
    assert len(list((tmp_path / "artefacts" / "image").iterdir())) == KEPT_PER_NAME


def test_mounts_inside_a_folder_are_found_deepest_first() -> None:
    table = (
        "proc /proc proc rw 0 0\nproc /c/tmp/root/proc proc rw 0 0\nx /c/tmp/root/proc/sys y "
        "rw 0 0\n/dev/vda /c/tmp2 ext4 rw 0 0\n"
    )
    assert mounts_below(Path("/c/tmp"), table) == [
        Path("/c/tmp/root/proc/sys"),
        Path("/c/tmp/root/proc"),
    ]


def test_builds_that_outlived_their_run_are_recognised_by_the_folder_they_work_in(
    tmp_path: Path,
) -> None:
    for pid, line, root in (
        ("11", "/bin/sh\0/usr/sbin/debootstrap\0/c/tmp/debian-1", "/"),
        ("12", "dpkg\0--configure", "/c/tmp/debian-1"),
        ("13", "vim\0/c/tmpfile", "/"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text(line)
        (tmp_path / pid / "root").symlink_to(root)
    assert processes_at(Path("/c/tmp"), tmp_path) == [11, 12]


def test_a_left_over_build_is_ended_before_its_folder_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "tmp" / "debian-1"
    folder.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", f"{folder}/x"]
    ) as build:
        while str(folder) not in Path(f"/proc/{build.pid}/cmdline").read_text():
            time.sleep(
                0.001
                # Popen returns when the new program is being loaded, a moment before it has its
                # command line
            )
        with Store(tmp_path).exclusive():
            assert not folder.exists()
        assert build.wait(5) == -9
