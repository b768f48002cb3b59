"""Torn or damaged: what recovery puts right and what it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from counter_node.raft.types import HardState
from counter_node.storage import DamagedError, StorageError
from counter_node.storage.frames import (
    ALIGN_BYTES,
    HEADER_BYTES,
    SECTOR_BYTES,
    Ending,
    Kind,
    scan,
    seal,
)
from counter_node.storage.segments import segment_name
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sim_disk import SimDisk
from tests.support.unit.storage_files import (
    DIRECTORY,
    SEGMENT_BYTES,
    SNAP,
    WAL,
    entries,
    entry,
    new_sim,
    open_sim,
    put,
    reopen,
    snapshot,
    take_snapshot,
    written,
)  # fmt: skip

FIRST = WAL / segment_name(1)


def sectors(start: int, end: int) -> list[tuple[int, int]]:
    cuts = [start, *range((start // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES), end]
    return list(itertools.pairwise(cuts))


def change(disk: SimDisk, path: Path, edit: Callable[[bytearray], None]) -> None:
    file = disk.file(path)
    edit(file.cached)
    file.durable = bytearray(file.cached)


def zero(disk: SimDisk, path: Path, start: int, end: int) -> None:
    def edit(data: bytearray) -> None:
        data[start:end] = bytes(end - start)

    change(disk, path, edit)


def flip(disk: SimDisk, path: Path, bit: int) -> None:
    def edit(data: bytearray) -> None:
        data[bit // 8] ^= 1 << bit % 8

    change(disk, path, edit)


# -- frames by themselves


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(
            [b"\0" * 600, b"\0" * 1500, b"\1" * 700, b"\2" * 511, b"ab", b"\xff" * 513, b"\0"]
        ),
        min_size=1,
        max_size=8,
    ),
    offset=st.integers(0, 200),
)
def test_a_whole_frame_has_no_sector_of_zeros(pieces: list[bytes], offset: int) -> None:
    """The rule that makes torn and damaged exact (frames.py, rule 3)."""
    payload = b"".join(pieces)
    start = offset * ALIGN_BYTES
    frame = bytearray(HEADER_BYTES) + payload
    seal(frame, Kind.TURN, 0)
    assert len(frame) % ALIGN_BYTES == 0
    data = bytes(start) + frame
    assert all(any(data[a:b]) for a, b in sectors(start, len(data)))
    assert [f.payload for f in scan(bytes(frame) + bytes(64)).frames] == [payload]


def test_a_payload_made_of_every_mask_is_still_stored() -> None:
    payload = b"".join(bytes([byte]) * SECTOR_BYTES for byte in range(256))
    frame = bytearray(HEADER_BYTES) + payload
    seal(frame, Kind.TURN, 0)
    assert scan(bytes(frame)).frames[0].payload == payload


# -- torn tails


def synced_then_torn(data: bytes, filler: int) -> tuple[SimDisk, int, int]:
    """A log of entries 1..2 and an un-synced third; where the third's frame begins and ends in the
    first segment."""
    disk, storage = new_sim()
    put(storage, entries(1, 2, size=filler))
    start = written(disk, FIRST)
    storage.write(None, [entry(3, 1, data)])
    return disk, start, written(disk, FIRST)


@pytest.mark.parametrize("filler", [1, 40, 77, 120, 155])
def test_a_frame_that_misses_any_of_its_sectors_is_cut_and_kept_aside(filler: int) -> None:
    disk, start, end = synced_then_torn(b"t" * 1900, filler)
    parts = sectors(start, end)
    assert len(parts) >= 4
    for lost in itertools.product([False, True], repeat=len(parts)):
        trial = disk.clone()
        for gone, (a, b) in zip(lost, parts, strict=True):
            if gone:
                zero(trial, FIRST, a, b)
        torn = trial.read(FIRST)[start:].rstrip(b"\0")
        storage, recovered = reopen(trial)
        assert recovered.entries[:2] == entries(1, 2, size=filler)
        assert len(recovered.entries) == (2 if any(lost) else 3)
        if any(lost) and not all(lost):
            assert recovered.repaired is not None
            assert f"offset {start}" in recovered.repaired
            (aside,) = [name for name in trial.list_dir(WAL) if name.startswith("torn-")]
            assert trial.read(WAL / aside) == torn
        else:
            assert recovered.repaired is None
        put(storage, [entry(storage.last_index + 1, 1, b"next")])
        trial.crash(None)
        again = open_sim(trial)[1]
        assert again.entries[-1].data == b"next"
        assert again.repaired is None


def test_two_torn_tails_at_one_place_are_both_kept() -> None:
    disk, start, end = synced_then_torn(b"t" * 1900, 10)
    zero(disk, FIRST, *sectors(start, end)[1])
    storage, _ = reopen(disk)
    storage.write(None, [entry(3, 1, b"u" * 1900)])
    zero(disk, FIRST, *sectors(start, end)[2])
    _, recovered = reopen(disk)
    assert recovered.entries == entries(1, 2)
    assert len([name for name in disk.list_dir(WAL) if name.startswith("torn-")]) == 2


def test_a_torn_frame_with_a_later_frame_behind_it_is_damage() -> None:
    """Later frames are written only after earlier ones are durable: so this sector was lost after
    it had been acknowledged."""
    disk, start, end = synced_then_torn(b"t" * 1900, 10)
    storage, _ = reopen(disk)
    put(storage, entries(4, 4))
    for part in sectors(start, end):
        trial = disk.clone()
        zero(trial, FIRST, *part)
        with pytest.raises(DamagedError, match=f"at offset {start}"):
            reopen(trial)


# -- damage


def small_log() -> SimDisk:
    """Two segments, a snapshot in force, a vote; small enough to flip every bit."""
    disk, storage = new_sim()
    put(storage, entries(1, 2, size=1600))
    put(storage, entries(3, 3, size=1200))
    assert disk.list_dir(WAL)[:2] == [segment_name(1), segment_name(2)]
    take_snapshot(storage, snapshot(2))
    put(storage, entries(4, 4, term=2), HardState(10, 7, 3))
    storage.close()
    return disk


def outcome(disk: SimDisk) -> tuple[object, ...] | None:
    """What a node would find; None when it is refused."""
    try:
        _, found = open_sim(disk)
    except StorageError:
        return None
    return found.node_id, found.hard_state, found.snapshot, tuple(found.entries)


@pytest.mark.parametrize(
    "name", ["wal/" + segment_name(1), "wal/" + segment_name(2), "snap", "node.json"]
)
def test_every_flipped_bit_is_refused_or_harmless(name: str) -> None:
    disk = small_log()
    path = DIRECTORY / name if name != "snap" else SNAP / disk.list_dir(SNAP)[0]
    expected = outcome(disk.clone())
    used = written(disk, path)
    bits = set(range(0, used * 8, 7 if used > 2000 else 1)) | set(
        range(used * 8, len(disk.read(path)) * 8, 997)
    )
    refused = 0
    for bit in sorted(bits):
        trial = disk.clone() if name == "node.json" else disk
        flip(trial, path, bit)
        before = {p: trial.read(WAL / p) for p in trial.list_dir(WAL)}
        found = outcome(trial)
        assert found in (None, expected), f"bit {bit} of {name}"
        if found is None:
            refused += 1
            assert {p: trial.read(WAL / p) for p in trial.list_dir(WAL)} == before, (
                "a refusal changes nothing"
            )
            flip(trial, path, bit)
        else:
            disk = small_log()
    assert refused >= len([b for b in bits if b < used * 8]) * (0.3 if name == "node.json" else 1)


@pytest.mark.parametrize("mask_data", [b"x" * 2000, b"\0" * 2000, b"\0\1" * 1000])
def test_a_flipped_bit_in_the_last_acknowledged_frame_never_passes_for_a_torn_tail(
    mask_data: bytes,
) -> None:
    disk, storage = new_sim()
    start = written(disk, FIRST)
    put(storage, [entry(1, 1, mask_data)])
    end = written(disk, FIRST)
    for bit in range(start * 8, end * 8, 5):
        flip(disk, FIRST, bit)
        with pytest.raises(DamagedError):
            reopen(disk)
        flip(disk, FIRST, bit)
    assert len(reopen(disk)[1].entries) == 1


def test_a_length_that_was_zeroed_is_damage() -> None:
    disk, storage = new_sim()
    start = written(disk, FIRST)
    put(storage, entries(1, 1))
    zero(disk, FIRST, start, start + 4)
    with pytest.raises(DamagedError, match="length is 0 where a frame begins"):
        reopen(disk)


@pytest.mark.parametrize("cut", [8, 600, SEGMENT_BYTES - 100])
def test_a_truncated_segment_is_damage_or_loses_nothing(cut: int) -> None:
    disk, storage = new_sim()
    put(storage, entries(1, 1, size=2000))
    used = written(disk, FIRST)

    def edit(data: bytearray) -> None:
        del data[len(data) - cut :]

    change(disk, FIRST, edit)
    if SEGMENT_BYTES - cut < used:
        with pytest.raises(DamagedError, match=r"runs past the file's end|no segment header"):
            reopen(disk)
    else:
        assert reopen(disk)[1].entries == entries(1, 1, size=2000)


@pytest.mark.parametrize("behind", [0, 40])
def test_anything_behind_the_end_of_a_segment_is_damage(behind: int) -> None:
    disk = long_log()
    flip(disk, FIRST, 8 * (written(disk, FIRST) + behind))
    with pytest.raises(DamagedError, match="after the end of the segment"):
        open_sim(disk)


def long_log(filler: bytes = b"ident") -> SimDisk:
    disk, storage = new_sim()
    for index in range(1, 25):
        put(storage, [entry(index, 1, filler * 80)])
    assert len(disk.list_dir(WAL)) >= 4
    storage.close()
    return disk


def test_any_missing_segment_is_noticed() -> None:
    names = [name for name in long_log().list_dir(WAL) if name.endswith(".wal")]
    for name in names:
        disk = long_log()
        disk.unlink(WAL / name)
        with pytest.raises(DamagedError, match="missing"):
            open_sim(disk)


def test_damage_names_file_offset_and_remedy() -> None:
    disk = long_log()
    flip(disk, WAL / segment_name(2), 8 * 200)
    with pytest.raises(DamagedError) as caught:
        open_sim(disk)
    text = str(caught.value)
    assert str(WAL / segment_name(2)) in text
    assert "at offset" in text
    assert "CRC-32C is" in text
    assert "Remove this member" in text


def test_segments_of_another_order_are_refused() -> None:
    disk = long_log()
    a, b = disk.file(WAL / segment_name(1)), disk.file(WAL / segment_name(2))
    a.cached, b.cached = b.cached, a.cached
    with pytest.raises(DamagedError, match="sequence"):
        open_sim(disk)


def test_a_segment_of_another_member_is_refused() -> None:
    disk = long_log()
    change(
        disk,
        DIRECTORY / "node.json",
        lambda data: data.__setitem__(
            slice(None), data.replace(b"00f1000000000001", b"00f1000000000002")
        ),
    )
    with pytest.raises(DamagedError, match="node id"):
        open_sim(disk)


def test_the_chain_crosses_segments() -> None:
    """The second segment of a log with the same positions and terms, but other data before it: only
    the chain tells."""
    one, other = long_log(), long_log(filler=b"other")
    name = WAL / segment_name(2)
    change(one, name, lambda data: data.__setitem__(slice(None), other.read(name)))
    with pytest.raises(DamagedError, match="the segment before ends with"):
        open_sim(one)


def test_a_log_without_node_json_is_damage() -> None:
    disk = long_log()
    disk.unlink(DIRECTORY / "node.json")
    with pytest.raises(DamagedError, match="missing, although there is a log"):
        open_sim(disk)


def test_a_node_json_without_a_log_is_damage() -> None:
    disk = long_log()
    for name in disk.list_dir(WAL):
        disk.unlink(WAL / name)
    with pytest.raises(DamagedError, match="missing"):
        open_sim(disk)


def test_a_missing_or_foreign_snapshot_in_force_is_damage() -> None:
    disk = small_log()
    (name,) = disk.list_dir(SNAP)
    missing = disk.clone()
    missing.unlink(SNAP / name)
    with pytest.raises(DamagedError, match="the snapshot that the log names is missing"):
        open_sim(missing)
    _, storage = new_sim()
    other, storage = new_sim()
    put(storage, entries(1, 5))
    take_snapshot(storage, snapshot(3))
    change(
        disk,
        SNAP / name,
        lambda data: data.__setitem__(slice(None), other.read(SNAP / other.list_dir(SNAP)[0])),
    )
    with pytest.raises(DamagedError, match="the log names"):
        open_sim(disk)


def test_a_newer_format_is_refused_without_calling_it_damage() -> None:
    disk = small_log()
    change(
        disk,
        DIRECTORY / "node.json",
        lambda data: data.__setitem__(slice(None), data.replace(b'"format": 1', b'"format": 2')),
    )
    with pytest.raises(StorageError, match="format 2") as caught:
        open_sim(disk)
    assert not isinstance(caught.value, DamagedError)


def test_the_chain_notices_a_frame_from_another_history() -> None:
    """Same place, same size, valid CRC of its own: only the chain tells."""
    one, first = new_sim()
    two, second = new_sim()
    put(first, entries(1, 1, term=1))
    put(second, entries(1, 1, term=2))
    start = written(one, FIRST)
    put(first, entries(2, 2, term=2))
    put(second, entries(2, 2, term=2))
    foreign = two.read(FIRST)[start : written(two, FIRST)]
    change(one, FIRST, lambda data: data.__setitem__(slice(start, start + len(foreign)), foreign))
    assert scan(one.read(FIRST)).ending is Ending.DAMAGED
    with pytest.raises(DamagedError, match="check of the length"):
        reopen(one)
