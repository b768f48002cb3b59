"""The archive in a directory, and keys in another."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path

import pytest
from counter_node.archive.destination import Destination, keys_from, open_store
from counter_node.archive.file_store import FileStore
from counter_node.archive.rules.errors import ArchiveError
from counter_node.archive.stores import AbsentError, ExistsError, StoreError, probe


def test_an_object_is_created_once_and_whole(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    probe(store)
    store.create("h/log/1", b"one")
    with pytest.raises(ExistsError, match=r"file://.* h/log/1 exists already"):
        store.create("h/log/1", b"two")
    assert store.get("h/log/1") == b"one"
    assert list(store.list()) == list(store.list("h/")) == [("h/log/1", 3)]
    assert list(store.list("other/")) == []
    store.delete("h/log/1")
    store.delete("h/log/1")
    with pytest.raises(AbsentError):
        store.get("h/log/1")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_of_many_at_once_one_wins_and_the_others_know(tmp_path: Path) -> None:
    won: list[int] = []
    store, ready = FileStore(tmp_path), threading.Barrier(8)

    def race(n: int) -> None:
        ready.wait()
        for _ in range(20):
            try:
                store.create("h/x", b"%d" % n * 1000)
                won.append(n)
            except ExistsError:
                pass

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("h/x") == b"%d" % won[0] * 1000


def test_what_a_crash_left_is_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as faulty:
        faulty.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"Make room on the volume"):
            store.create("x", b"data")
    (tmp_path / ".new-00").write_bytes(b"half")
    assert list(store.list()) == []
    store.create("x", b"data")
    assert list(store.list()) == [("x", 4)]


def test_a_volume_that_is_not_mounted_is_no_empty_archive(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "missing")
    for act in (lambda: store.create("x", b""), lambda: list(store.list())):
        with pytest.raises(AbsentError, match=r"no such directory\. Mount or make it"):
            act()


def test_keys_come_from_a_folder_and_the_last_by_name_encrypts(tmp_path: Path) -> None:
    (tmp_path / "2026-01").write_bytes(b"a" * 32)
    (tmp_path / "2026-02").write_text(base64.b64encode(b"b" * 32).decode() + "\n")
    (tmp_path / "..data").mkdir()  # as a Secret is mounted
    assert keys_from(str(tmp_path)).active == "2026-02"
    assert keys_from(str(tmp_path), "2026-01").active == "2026-01"
    assert keys_from("").active == ""
    with pytest.raises(ArchiveError, match="'2027' is to encrypt, and is not among"):
        keys_from(str(tmp_path), "2027")
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(ArchiveError, match="'short': 3 bytes; 32 raw ones"):
        keys_from(str(tmp_path))
    with pytest.raises(ArchiveError, match="No such file"):
        keys_from(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("url", ["", "/data", "file://host/x", "gs://b", "s3://", "s3://b?x=1"])
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(ArchiveError, match="is no address of an archive"):
        open_store(Destination(url))
