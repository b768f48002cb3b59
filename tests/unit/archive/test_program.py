"""The program on real data directories: what the storage of a member wrote goes into an archive,
and comes out as the directory of a new cluster with every counter."""

from __future__ import annotations

import contextlib
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from counter_node.archive import restore as restoring
from counter_node.archive.__main__ import main
from counter_node.counters.machine import Machine
from counter_node.raft.types import Entry, HardState, Snapshot, SnapshotMeta
from counter_node.storage import Storage, StorageError

from tests.support.archive_world import CLUSTER, HISTORY, MEMBERSHIP, Truth

NEW = "default/restored"


def data_directory(
    directory: Path, truth: Truth, *, snapshot_at: int, uncommitted: int = 0
) -> None:
    """As a member of `truth` has it after a change of segments, a snapshot and a compaction."""
    storage, _ = Storage.open(directory, CLUSTER, segment_bytes=4096)
    meta = SnapshotMeta(1, 1, MEMBERSHIP)
    storage.save_snapshot(Snapshot(meta, truth.states[1]))
    storage.write(HardState(1, 0, 1), [], meta)
    storage.sync()
    last = truth.index - uncommitted
    for index in range(2, truth.index + 1):
        entry = truth.entries[index]
        storage.write(HardState(entry.term, 0, min(index, last)), [entry])
        storage.sync()
        if index == snapshot_at:
            meta = SnapshotMeta(index, entry.term, MEMBERSHIP)
            storage.save_snapshot(Snapshot(meta, truth.states[index]))
            storage.write(None, [], meta)
            storage.sync()
            storage.compact(index)
    storage.close()


@pytest.fixture
def truth() -> Truth:
    truth = Truth(3)
    for n in range(120):
        truth.count()
        if n % 30 == 29:
            truth.elect()
    return truth


@pytest.fixture
def archive(tmp_path: Path) -> list[str]:
    folder = tmp_path / "archive"
    folder.mkdir()
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "2026-01").write_bytes(b"k" * 32)
    return ["--archive", f"file://{folder}", "--keys", str(keys)]


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main(list(words))
    found = capsys.readouterr()
    return code, json.loads(found.out) if found.out else None, found.err


def into(directory: Path) -> list[str]:
    return [
        *("--into", str(directory), "--cluster-id", NEW, "--name", "restored-0"),
        *("--advertise-peer", "restored-0:7000", "--advertise-resp", "restored-0:6379"),
    ]


def opened(directory: Path) -> tuple[Machine, Any]:
    storage, recovered = Storage.open(directory, NEW)
    storage.close()
    assert recovered.snapshot is not None
    assert recovered.entries == []
    return Machine.restore(recovered.snapshot.state), recovered


def counters(machine: Machine) -> dict[bytes, int]:
    return dict(machine.values.items())


def test_a_directory_is_archived_and_comes_back_with_every_counter(
    tmp_path: Path, truth: Truth, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data_directory(tmp_path / "data", truth, snapshot_at=60, uncommitted=2)
    code, answer, _ = call(capsys, "upload", str(tmp_path / "data"), *archive)
    assert (code, answer["lastIndex"], answer["behind"]) == (0, truth.index - 2, 0)
    assert call(capsys, "upload", str(tmp_path / "data"), *archive)[1] == answer, "again: nothing"
    code, answer, _ = call(capsys, "verify", *archive)
    assert (code, answer["problems"]) == (0, [])
    code, answer, _ = call(capsys, "restore", *archive, *into(tmp_path / "new"))
    index = truth.index - 2
    assert (code, answer["index"], answer["history"]) == (0, index, HISTORY)
    machine, recovered = opened(tmp_path / "new")
    assert counters(machine) == counters(Machine.restore(truth.states[index]))
    assert answer["counters"] == len(counters(machine))
    lineage = machine.lineage
    assert [h.id for h in lineage] == [HISTORY, answer["newHistory"]]
    assert (lineage[-1].reason, lineage[-1].index) == ("restore", index + 1)
    meta = recovered.snapshot.meta
    assert (meta.index, meta.term) == (index + 1, truth.term_at(index) + 1)
    assert [m.id for m in meta.membership.members] == [int(answer["nodeId"], 16)]
    assert meta.membership.removed == (7,), "no old member comes in"


@pytest.mark.parametrize("index", [60, 61, 90])
def test_a_restore_to_an_index_gives_the_counters_of_that_index(
    tmp_path: Path, truth: Truth, archive: list[str], capsys: pytest.CaptureFixture[str], index: int
) -> None:
    data_directory(tmp_path / "data", truth, snapshot_at=60)
    call(capsys, "upload", str(tmp_path / "data"), *archive)
    code, answer, _ = call(capsys, "restore", *archive, "--at", str(index), *into(tmp_path / "new"))
    assert (code, answer["index"], answer["entries"]) == (0, index, index - 60)
    machine, _ = opened(tmp_path / "new")
    assert counters(machine) == counters(Machine.restore(truth.states[index]))


def test_a_restored_cluster_is_archived_beside_the_old_one_and_is_the_one_that_is_chosen(
    tmp_path: Path, truth: Truth, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And restored again: a third one."""
    data_directory(tmp_path / "data", truth, snapshot_at=60)
    call(capsys, "upload", str(tmp_path / "data"), *archive)
    before = {p: p.read_bytes() for p in (tmp_path / "archive").rglob("*") if p.is_file()}
    _, first, _ = call(capsys, "restore", *archive, *into(tmp_path / "new"))
    code, answer, _ = call(capsys, "upload", str(tmp_path / "new"), *archive)
    assert (code, answer["history"]) == (0, first["newHistory"])
    assert all(path.read_bytes() == data for path, data in before.items())
    _, listed, _ = call(capsys, "list", *archive)
    assert {c["history"]: c["clusterId"] for c in listed} == {
        HISTORY: CLUSTER,
        first["newHistory"]: NEW,
    }
    code, second, _ = call(capsys, "restore", *archive, *into(tmp_path / "third"))
    assert (code, second["history"]) == (0, first["newHistory"])
    old = call(capsys, "restore", *archive, "--history", HISTORY, "--dry-run")[1]
    assert old["index"] == truth.index
    assert counters(opened(tmp_path / "third")[0]) == counters(truth.machine)


def test_nothing_that_cannot_be_read_becomes_an_empty_cluster(
    tmp_path: Path, truth: Truth, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "restore", *archive, *into(tmp_path / "new"))
    assert (code, "there is no archive. Check the address" in err) == (1, True)
    data_directory(tmp_path / "data", truth, snapshot_at=60)
    call(capsys, "upload", str(tmp_path / "data"), *archive)
    for words, said in (
        (archive[:2], "encrypted with key '2026-01', which is not among the keys"),
        (["--archive", f"file://{tmp_path}/none"], "no such directory. Mount or make it"),
        ([*archive, "--history", "00" * 8], "nothing of history 0000000000000000"),
        ([*archive, "--at", "5"], "index 5 cannot be reached"),
        ([*archive, "--at", "100000"], "the archive ends before it"),
        ([*archive, "--at", "2100-01-01T00:00:00Z"], "the archive ends before it"),
    ):
        code, _, err = call(capsys, "restore", *words, *into(tmp_path / "new"))
        assert (code, said in err) == (1, True), err
        assert not (tmp_path / "new").exists()


def test_a_directory_with_data_is_never_restored_over(
    tmp_path: Path, truth: Truth, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data_directory(tmp_path / "data", truth, snapshot_at=60)
    call(capsys, "upload", str(tmp_path / "data"), *archive)
    code, _, err = call(capsys, "restore", *archive, *into(tmp_path / "data"))
    assert (code, "there are data of a node already (wal)" in err) == (1, True)
    assert call(capsys, "upload", str(tmp_path / "data"), *archive)[0] == 0, "still usable"


@pytest.mark.parametrize("step", range(8))
def test_a_restore_that_was_killed_is_made_again_and_no_node_starts_from_its_half(
    tmp_path: Path,
    truth: Truth,
    archive: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    data_directory(tmp_path / "data", truth, snapshot_at=60)
    call(capsys, "upload", str(tmp_path / "data"), *archive)

    class Killed(BaseException):
        pass

    class Dies(restoring.Disk):
        left = step

        def _die(self) -> None:
            Dies.left -= 1
            if Dies.left < 0:
                raise Killed

        def rename(self, source: Path, target: Path) -> None:
            self._die()
            super().rename(source, target)
            self._die()

    with monkeypatch.context() as faulty:
        faulty.setattr(restoring, "Disk", Dies)
        with contextlib.suppress(Killed):
            call(capsys, "restore", *archive, *into(tmp_path / "new"))
    finished = (tmp_path / "new" / "node.json").exists()
    capsys.readouterr()
    if not finished:
        if (tmp_path / "new" / "wal").exists():
            with pytest.raises(StorageError, match=r"node\.json: missing, although there is a log"):
                Storage.open(tmp_path / "new", NEW)
        code, _, err = call(capsys, "restore", *archive, *into(tmp_path / "new"))
        assert code == 0, err
    assert counters(opened(tmp_path / "new")[0]) == counters(truth.machine)


def test_moments_are_kept_pruned_and_released(
    tmp_path: Path,
    truth: Truth,
    archive: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SystemExit):
        main(["prune", *archive, "--window", "59m"])
    assert "'59m' is too short; 1h is the least" in capsys.readouterr().err
    monkeypatch.setattr("counter_node.archive.__main__.LEAST_WINDOW_MS", 0)
    for at in (40, 80, 110):
        data_directory(tmp_path / f"data{at}", truth, snapshot_at=at)
        call(capsys, "upload", str(tmp_path / f"data{at}"), *archive)
    code, answer, _ = call(capsys, "keep", "b1", *archive, "--at", "45", "--reason", "before x")
    assert (code, answer["index"]) == (0, 45)
    dry = call(capsys, "prune", *archive, "--window", "1s", "--least", "1", "--dry-run")[1]
    code, answer, _ = call(capsys, "prune", *archive, "--window", "1s", "--least", "1")
    assert (code, answer["deleted"]) == (0, len(dry["wouldDelete"]))
    assert call(capsys, "restore", *archive, "--at", "45", "--dry-run")[1]["index"] == 45
    assert call(capsys, "list", *archive)[1][0]["kept"]["b1"]["reason"] == "before x"
    assert call(capsys, "release", "b1", *archive)[0] == 0
    code, _, err = call(capsys, "release", "b1", *archive)
    assert (code, "'b1' is not kept; nothing is" in err) == (1, True)


def test_a_time_is_given_with_its_zone(
    tmp_path: Path, truth: Truth, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data_directory(tmp_path / "data", truth, snapshot_at=60)
    call(capsys, "upload", str(tmp_path / "data"), *archive)
    utc_ms = truth.times[100][1]
    at = datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC).isoformat()
    answer = call(capsys, "restore", *archive, "--at", at, "--dry-run")[1]
    machine = Machine.restore(truth.states[answer["index"]])
    assert machine.time_ms + machine.offset_ms <= utc_ms
    for wrong in ("yesterday", "2026-01-01T00:00:00", "-1"):
        with pytest.raises(SystemExit):
            main(["restore", *archive, f"--at={wrong}", "--dry-run"])
        assert "is no moment: 'newest', an index, or a time with its" in capsys.readouterr().err


def test_a_damaged_object_is_named_and_the_code_says_so(
    tmp_path: Path, truth: Truth, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data_directory(tmp_path / "data", truth, snapshot_at=60)
    call(capsys, "upload", str(tmp_path / "data"), *archive)
    newest = max((tmp_path / "archive").rglob("log/*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    code, answer, _ = call(capsys, "verify", *archive)
    assert code == 3
    assert [newest.name in p for p in answer["problems"]] == [True]
    code, _, err = call(capsys, "restore", *archive, "--dry-run")
    assert (code, newest.name in err) == (1, True)
    answer = call(capsys, "restore", *archive, "--as-far-as-possible", "--dry-run")[1]
    assert newest.name in answer["stoppedBefore"]


def test_what_is_no_data_directory_is_refused_with_words(
    tmp_path: Path, archive: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "upload", str(tmp_path), *archive)
    assert (code, "node.json" in err) == (1, True)
    storage, _ = Storage.open(tmp_path / "fresh", CLUSTER)
    storage.write(HardState(1, 0, 0), [Entry(1, 1, 0, b"")])  # type: ignore[arg-type]
    storage.close()
    code, _, err = call(capsys, "upload", str(tmp_path / "fresh"), *archive)
    assert (code, "was never part of a cluster" in err) == (1, True)
