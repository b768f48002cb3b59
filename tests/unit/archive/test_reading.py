"""Reading: what cannot be read is named and the rest is printed, what is not encrypted is refused,
and a restore reads ahead of what it applies."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from counter_node.archive import ahead
from counter_node.archive.__main__ import main
from counter_node.archive.file_store import FileStore
from counter_node.archive.prune import keep
from counter_node.archive.reader import Reader
from counter_node.archive.restore import restore
from counter_node.archive.rules.errors import UnencryptedObjectError, UnreachableMomentError
from counter_node.archive.rules.names import lineage_name, log_name
from counter_node.archive.rules.objects import Keep, unseal_log
from counter_node.archive.rules.restoring import Newest
from counter_node.archive.rules.sealing import Keys
from counter_node.archive.uploader import Uploader
from counter_node.archive.verify import verify

from tests.support.archive_store import MemoryStore
from tests.support.archive_world import HISTORY, Member, Truth

PLAIN = Keys()
KEY = b"k" * 32
ENCRYPTED = Keys({"2026-01": KEY}, "2026-01")
BOTH = Keys({"2026-01": KEY}, "2026-01", accept_unencrypted=True)


def member(entries: int = 40) -> Member:
    truth = Truth(1)
    for _ in range(entries):
        truth.count()
    found = Member(truth)
    found.catch_up(truth.index)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "2026-01").write_bytes(KEY)
    store = FileStore(tmp_path / "archive")
    Uploader(store, member(), ENCRYPTED, log_bytes=300).run()
    reader = Reader(store, ENCRYPTED)
    keep(reader, reader.contents(HISTORY), "b1", Keep(20, 20, 20, "before x"))
    return tmp_path


def listed(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    archive = ["--archive", f"file://{folder}/archive", "--keys", str(folder / "keys")]
    code = main(["list", *archive, *words])
    return code, json.loads(capsys.readouterr().out)[0]


@pytest.mark.parametrize("what", ["log", "lineage", "keep", "snap"])
@pytest.mark.parametrize("how", ["cut", "plain", "other key", "newer"])
def test_what_cannot_be_read_is_named_and_the_rest_is_listed(
    folder: Path, capsys: pytest.CaptureFixture[str], what: str, how: str
) -> None:
    code, whole = listed(folder, capsys)
    assert (code, whole["problems"], whole["notWhole"]) == (0, [], [])
    files = [p for p in (folder / "archive").rglob("*") if p.is_file()]
    under = [p for p in files if f"/{what}" in str(p) and p.suffix != ".passed"]
    bad = max(p for p in under if what != "snap" or p.suffix == ".manifest")
    name, said = _spoil(folder, bad, how)
    code, found = listed(folder, capsys)
    problems = [*found["problems"], *found["notWhole"]]
    assert [(name in p, said in p) for p in problems] == [(True, True)], problems
    assert code == 3
    changed = {
        "log": {"lastIndex"},
        "lineage": {"clusterId", "lineage"},
        "keep": {"kept"},
        "snap": {"snapshots", "notWhole"},
    }[what]
    same = set(whole) - {"problems", "logBytes"} - changed
    assert {k: found[k] for k in same} == {k: whole[k] for k in same}
    if what == "log":
        assert whole["lastIndex"] - 10 < found["lastIndex"] < whole["lastIndex"]


def _spoil(folder: Path, bad: Path, how: str) -> tuple[str, str]:
    data = bad.read_bytes()
    if how == "cut":
        bad.write_bytes(data[:-1])
        return bad.name, "cut off or changed"
    if how == "newer":
        body = data[:6] + b"\xff\x00" + data[8:-32]
        bad.write_bytes(body + hashlib.sha256(body).digest())
        return bad.name, "format 255; this program reads up to 1. Use a newer one"
    other = MemoryStore()
    keys = PLAIN if how == "plain" else Keys({"x": b"x" * 32}, "x")
    Uploader(other, member(), keys, log_bytes=300).run()
    reader = Reader(other, keys)
    keep(reader, reader.contents(HISTORY), "b1", Keep(20, 20, 20, "before x"))
    name = bad.relative_to(folder / "archive").as_posix()
    if name not in other.objects:  # a manifest's name depends on the key
        name = next(n for n in other.objects if n.endswith(".manifest"))
        bad.rename(folder / "gone")
        bad = folder / "archive" / name
    bad.write_bytes(other.objects[name])
    said = "is not encrypted, and this archive is" if how == "plain" else "encrypted with key 'x'"
    return bad.name, said


def test_an_object_in_the_clear_stops_a_restore_where_it_stands() -> None:
    store = MemoryStore()
    Uploader(store, member(), ENCRYPTED, log_bytes=300).run()
    clear = MemoryStore()
    Uploader(clear, member(), PLAIN, log_bytes=300).run()
    contents = Reader(store, ENCRYPTED).contents(HISTORY)
    name = log_name(HISTORY, contents.logs[-1])
    store.objects[name] = clear.objects[name]
    with pytest.raises(UnreachableMomentError, match=f"{name}: is not encrypted"):
        restore(Reader(store, ENCRYPTED), contents, Newest())
    assert any("not encrypted" in p for p in verify(Reader(store, ENCRYPTED), contents).problems)


def test_encryption_that_is_switched_on_is_stopped_by_what_was_in_the_clear() -> None:
    """The line goes on when it is; later objects are encrypted, and old ones stay readable."""
    store, source = MemoryStore(), member()
    Uploader(store, source, PLAIN, log_bytes=300).run()
    before = dict(store.objects)
    source.truth.count()
    source.catch_up(source.truth.index)
    with pytest.raises(UnencryptedObjectError, match="--accept-unencrypted"):
        Uploader(store, source, ENCRYPTED).run()
    assert store.objects == before, "nothing was written"
    Uploader(store, source, BOTH).run()
    [new] = [name for name in store.objects if name not in before]
    assert unseal_log(new, store.objects[new], ENCRYPTED).entries
    reader = Reader(store, BOTH)
    assert restore(reader, reader.contents(HISTORY), Newest()).index == source.truth.index


def test_one_history_is_chosen_though_its_lineage_cannot_be_read() -> None:
    """Written in the clear before there were keys, and kept for ever."""
    store = MemoryStore()
    Uploader(store, member(), PLAIN).run()
    assert Reader(store, ENCRYPTED).choose().history == HISTORY
    store.objects[lineage_name("ff" * 8)] = store.objects[lineage_name(HISTORY)]
    with pytest.raises(UnreachableMomentError, match=r"not encrypted.*Say which one"):
        Reader(store, ENCRYPTED).choose()


class SlowStore(MemoryStore):
    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self.delay_s, self.most, self._at_once, self._lock = delay_s, 0, 0, threading.Lock()

    def get(self, name: str) -> bytes:
        with self._lock:
            self._at_once += 1
            self.most = max(self.most, self._at_once)
        time.sleep(self.delay_s)
        with self._lock:
            self._at_once -= 1
        return super().get(name)


def test_a_restore_reads_ahead_and_gives_the_same() -> None:
    source = member(120)
    store = SlowStore(0.0)
    Uploader(store, source, ENCRYPTED, log_bytes=1).run()
    alone = Reader(store, ENCRYPTED)
    contents = alone.contents(HISTORY)
    expected = restore(alone, contents, Newest())
    assert store.most == 1
    store.delay_s = 0.005
    reader = Reader(store, ENCRYPTED, threads=4)
    found = restore(reader, contents, Newest())
    assert 2 <= store.most <= 4
    assert (found.index, found.machine.snapshot()) == (expected.index, expected.machine.snapshot())
    assert verify(reader, contents) == verify(alone, contents)
    assert not [t for t in threading.enumerate() if t.name.startswith("reading-ahead")]


def test_what_is_read_ahead_is_bounded_in_objects_and_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = SlowStore(0.0)
    Uploader(store, member(120), PLAIN, log_bytes=1).run()
    contents = Reader(store, PLAIN).contents(HISTORY)
    read: list[int] = []

    class Counting(Reader):
        def log(self, history: str, first: int) -> Any:
            read.append(first)
            return super().log(history, first)

    monkeypatch.setattr(ahead, "OBJECTS", 5)
    with ahead.reading_ahead(Counting(store, PLAIN, threads=2), contents) as reader:
        reader.log(HISTORY, contents.logs[10])
        reader.log(HISTORY, contents.logs[11])
        reader.log(HISTORY, contents.logs[3])
    assert max(read) <= contents.logs[16]
    read.clear()
    monkeypatch.setattr(ahead, "STORED_BYTES", 1)
    with ahead.reading_ahead(Counting(store, PLAIN, threads=2), contents) as reader:
        reader.log(HISTORY, contents.logs[10])
    assert read == [contents.logs[10]]


def test_an_error_comes_with_the_object_that_has_it() -> None:
    store = MemoryStore()
    Uploader(store, member(60), PLAIN, log_bytes=1).run()
    contents = Reader(store, PLAIN).contents(HISTORY)
    bad = log_name(HISTORY, contents.logs[30])
    store.objects[bad] = store.objects[bad][:-1]
    found = restore(Reader(store, PLAIN, threads=4), contents, Newest(), as_far=True)
    assert (found.index, bad in found.stopped) == (contents.logs[30] - 1, True)
