"""The bytes of objects: what is read is what was written under that name, or an error with
words."""

from __future__ import annotations

import pytest
from counter_node.archive.rules import objects
from counter_node.archive.rules.errors import (
    DamagedObjectError,
    MissingKeyError,
    NewerFormatError,
    UnencryptedObjectError,
)
from counter_node.archive.rules.names import (
    LogPlace,
    PartPlace,
    SnapshotName,
    keep_name,
    log_name,
    place_of,
)
from counter_node.archive.rules.objects import (
    KEEP,
    LOG,
    PART,
    Keep,
    seal,
    seal_gap,
    seal_log,
    seal_record,
    unseal,
    unseal_log,
    unseal_record,
)
from counter_node.archive.rules.sealing import Keys
from counter_node.raft.types import Entry, EntryKind
from hypothesis import given
from hypothesis import strategies as st

HISTORY = "00112233445566ff"
NAME = log_name(HISTORY, 5)
OLD, NEW = b"o" * 32, b"n" * 32
BOTH = Keys({"2025": OLD, "2026": NEW}, "2026")
KEYS = [Keys(), Keys({"2025": OLD}, "2025"), BOTH]
ENTRIES = [Entry(i, 2, EntryKind.DATA, (900 + i).to_bytes(8, "big") + b"x" * i) for i in (5, 6, 7)]


@pytest.mark.parametrize("keys", KEYS)
@given(content=st.binary(max_size=300))
def test_what_is_read_is_what_was_written(keys: Keys, content: bytes) -> None:
    name = SnapshotName(3, 1, "0" * 16).part(HISTORY, 0)
    stored = seal(PART, name, content, keys)
    assert unseal(PART, name, stored, BOTH if keys.active else keys).content == content
    assert seal(PART, name, content, keys) == stored, "two uploaders write the same bytes"


@pytest.mark.parametrize("keys", KEYS)
def test_every_changed_bit_and_every_cut_is_found(keys: Keys) -> None:
    stored = seal_log(NAME, ENTRIES, b"p" * 32, keys)
    for at in range(len(stored)):
        changed = bytearray(stored)
        changed[at] ^= 0x20
        with pytest.raises(DamagedObjectError):
            unseal_log(NAME, bytes(changed), keys)
        with pytest.raises(DamagedObjectError):
            unseal_log(NAME, stored[:at], keys)


@pytest.mark.parametrize("keys", KEYS[1:])
def test_whoever_can_write_to_the_store_cannot_change_what_is_encrypted(keys: Keys) -> None:
    """Also with a digest that fits: of the header, the salt and the content."""
    stored = seal_log(NAME, ENTRIES, b"p" * 32, keys)
    for at in range(12, len(stored) - 32):
        body = bytearray(stored[:-32])
        body[at] ^= 1
        with pytest.raises((DamagedObjectError, MissingKeyError)):
            unseal_log(NAME, bytes(body) + objects.digest_of(bytes(body)), keys)


def test_an_object_under_another_name_is_refused() -> None:
    stored = seal_log(NAME, ENTRIES, b"", BOTH)
    with pytest.raises(DamagedObjectError, match=f"holds {NAME}"):
        unseal_log(log_name(HISTORY, 6), stored, BOTH)
    with pytest.raises(DamagedObjectError, match="is a log, expected a part"):
        unseal(PART, NAME, stored, BOTH)


def test_an_archive_of_a_later_version_is_refused_with_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever else that version changed: nothing behind the format is read."""
    with monkeypatch.context() as later:
        later.setattr(objects, "FORMAT", 2)
        stored = seal(LOG, NAME, b"", Keys())
    other = stored[:8] + b"\xff" * 100
    for found in (stored, other + objects.digest_of(other)):
        with pytest.raises(NewerFormatError, match=r"format 2; this program reads up to 1\. Use a"):
            unseal_log(NAME, found, Keys())


def test_a_key_that_is_not_there_is_named() -> None:
    stored = seal_log(NAME, ENTRIES, b"", BOTH)
    with pytest.raises(MissingKeyError, match="'2026'"):
        unseal_log(NAME, stored, KEYS[1])
    other = Keys({"2026": b"z" * 32}, "2026")
    with pytest.raises(DamagedObjectError, match="another key of that id"):
        unseal_log(NAME, stored, other)


def test_a_changed_key_reads_what_the_old_one_wrote() -> None:
    stored = seal_log(NAME, ENTRIES, b"", KEYS[1])
    assert unseal_log(NAME, stored, BOTH).entries == ENTRIES


def test_what_is_not_encrypted_is_refused_where_there_are_keys_unless_it_is_said() -> None:
    stored = seal_log(NAME, ENTRIES, b"", Keys())
    with pytest.raises(UnencryptedObjectError, match="is not encrypted, and this archive is"):
        unseal_log(NAME, stored, BOTH)
    said = Keys({"2025": OLD, "2026": NEW}, "2026", accept_unencrypted=True)
    assert unseal_log(NAME, stored, said).entries == ENTRIES


def test_no_two_contents_share_a_key_stream() -> None:
    """AES-GCM in counter mode: two contents under one key and nonce give their XOR away."""
    name = SnapshotName(3, 1, "0" * 16).part(HISTORY, 0)
    contents = [bytes([n]) * 100 for n in range(100)]
    ends = {objects.header_of(name, seal(PART, name, c, BOTH))[1] for c in contents}
    (end,) = ends
    salts = {seal(PART, name, content, BOTH)[end : end + 32] for content in contents}
    assert len(salts) == 100
    other = SnapshotName(3, 1, "0" * 16).part(HISTORY, 1)
    assert seal(PART, other, contents[0], BOTH)[end : end + 32] not in salts


def test_what_is_encrypted_says_nothing_of_its_content() -> None:
    secret = b"counter-of-somebody" * 20
    stored = seal(PART, SnapshotName(3, 1, "0" * 16).part(HISTORY, 0), secret, BOTH)
    assert b"counter-of" not in stored
    digest = objects.digest_of(secret)
    assert digest not in stored
    assert BOTH.print_of(digest) != Keys().print_of(digest)


def test_a_log_object_says_what_it_holds() -> None:
    piece = unseal_log(NAME, seal_log(NAME, ENTRIES, b"p" * 32, BOTH), BOTH)
    assert piece.entries == ENTRIES
    facts = piece.facts
    assert (facts.first, facts.last, facts.first_term, facts.last_term) == (5, 7, 2, 2)
    assert (facts.first_ms, facts.last_ms, facts.previous) == (905, 907, b"p" * 32)
    gap = unseal_log(NAME, seal_gap(NAME, 5, 9, b"", BOTH), BOTH)
    assert (gap.facts.gap, gap.facts.last, gap.entries) == (True, 9, [])


def test_names_lead_back_to_what_they_name() -> None:
    assert place_of(NAME) == LogPlace(HISTORY, 5)
    snapshot = SnapshotName(7, 3, "ab" * 8)
    assert place_of(snapshot.part(HISTORY, 2)) == PartPlace(HISTORY, snapshot, 2)
    for name in ("", "x", NAME + "0", NAME.upper(), f"{HISTORY}/log/5", "../" + NAME, "probe/12"):
        assert place_of(name) is None
    with pytest.raises(ValueError, match=r"1 to 63 of a-z"):
        keep_name(HISTORY, "../x")
    key = keep_name(HISTORY, "before-the-sale")
    assert unseal_record(
        KEEP, key, seal_record(KEEP, key, Keep(1, 2, 3, "x"), BOTH), BOTH, Keep
    ) == Keep(1, 2, 3, "x")
