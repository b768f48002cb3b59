"""The bytes of an object. All kinds have one envelope:

    8 bytes    magic (6), format (2, little endian)
    4 bytes    length of the header
    header     MessagePack array: kind, name, key id, size of the content, what a log object holds
    32 bytes   salt, only when there is a key id (sealing.py)
    payload    the content, compressed with zlib, then encrypted when there is a key id
    32 bytes   SHA-256 of all before

Magic, format and SHA-256 stand where no later format can move them: an older program says that it
is too old, and decodes nothing; a changed bit is no later format. A field that is added to the end
of a header or a record, with a default, keeps the format; anything else is a new one.

The digest finds what a store cut off or changed. The name inside finds what was copied to another
place. A log object holds the digest of the object before it, as it was stored: so a chain of them
is one line, whoever wrote the parts.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from counter_node.archive.rules.errors import (
    DamagedObjectError,
    MissingKeyError,
    NewerFormatError,
    UnencryptedObjectError,
)
from counter_node.archive.rules.sealing import (
    SALT_BYTES,
    TAG_BYTES,
    Keys,
    SealBrokenError,
    digest_of,
)
from counter_node.counters.batches import TIME_BYTES
from counter_node.counters.history import Lineage
from counter_node.raft.types import Entry, EntryKind, Membership

FORMAT: Final = 1
LOG, PART, MANIFEST, LINEAGE, KEEP = "log", "part", "manifest", "lineage", "keep"
CONTENT_BYTES_MAX: Final = 1 << 30
DIGEST_BYTES: Final = 32
_MAGIC: Final = b"CCarch"
_FIXED: Final = struct.Struct("<6sHI")
_LEVEL: Final = 1  # of zlib: the fastest


class LogFacts(msgspec.Struct, array_like=True, frozen=True):
    """What a log object holds; readable without the content, and authenticated with it."""

    first: int
    last: int
    first_term: int
    last_term: int
    first_ms: int  # log time of the first and of the last entry that has one; 0: none has
    last_ms: int
    previous: bytes
    """Digest of the object before, as it was stored; empty for the first, and behind a damaged
    one."""
    gap: bool = False
    """There are no entries: the snapshot at `last` stands for them."""


class Header(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    name: str
    key_id: str
    content_bytes: int
    log: LogFacts | None = None


class StoredPart(msgspec.Struct, array_like=True, frozen=True):
    size: int
    digest: bytes


class Manifest(msgspec.Struct, array_like=True, frozen=True):
    """A snapshot that is whole. `state_digest` is of the state, `parts` are as stored."""

    cluster_id: str
    index: int
    term: int
    membership: Membership
    state_bytes: int
    state_digest: bytes
    log_ms: int
    utc_ms: int
    parts: tuple[StoredPart, ...]


class LineageRecord(msgspec.Struct, array_like=True, frozen=True):
    """How a history came about: those before it, the oldest first, and itself as the last."""

    cluster_id: str
    lineage: Lineage


class Keep(msgspec.Struct, array_like=True, frozen=True):
    """A moment that must stay restorable."""

    index: int
    log_ms: int
    utc_ms: int
    reason: str = ""


class Opened(msgspec.Struct, frozen=True):
    header: Header
    content: bytes
    digest: bytes  # of the object as stored


class LogPiece(msgspec.Struct, frozen=True):
    """A log object, decoded."""

    facts: LogFacts
    entries: list[Entry]
    digest: bytes


def seal(kind: str, name: str, content: bytes, keys: Keys, log: LogFacts | None = None) -> bytes:
    """The bytes to store."""
    if len(content) > CONTENT_BYTES_MAX:
        raise ValueError(f"{name}: {len(content)} bytes; at most {CONTENT_BYTES_MAX}")
    header = msgspec.msgpack.encode(Header(kind, name, keys.active, len(content), log))
    head = _FIXED.pack(_MAGIC, FORMAT, len(header)) + header
    payload = zlib.compress(content, _LEVEL)
    if keys.active:
        salt = keys.salt(keys.active, name, head, content)
        payload = salt + keys.encrypt(keys.active, name, salt, head, payload)
    body = head + payload
    return body + digest_of(body)


def stored_digest(stored: bytes) -> bytes:
    """What a whole object says its digest is."""
    return stored[-DIGEST_BYTES:]


def header_of(name: str, stored: bytes) -> tuple[Header, int]:
    """The header, and where it ends. Raises NewerFormatError, DamagedObjectError."""
    if len(stored) < _FIXED.size + DIGEST_BYTES:
        raise DamagedObjectError(name, f"{len(stored)} bytes; a whole one has more")
    magic, found, length = _FIXED.unpack_from(stored)
    if magic != _MAGIC:
        raise DamagedObjectError(name, "not an object of an archive")
    if digest_of(stored[:-DIGEST_BYTES]) != stored[-DIGEST_BYTES:]:
        raise DamagedObjectError(name, "its SHA-256 does not fit: cut off or changed")
    if found > FORMAT:
        raise NewerFormatError(name, found, FORMAT)
    end = _FIXED.size + length
    try:
        header = msgspec.msgpack.decode(stored[_FIXED.size : end], type=Header)
    except msgspec.DecodeError as error:
        raise DamagedObjectError(name, f"header not readable: {error}") from None
    if header.name != name:
        raise DamagedObjectError(name, f"holds {header.name}")
    return header, end


def unseal(kind: str, name: str, stored: bytes, keys: Keys) -> Opened:
    """The content. Raises NewerFormatError, MissingKeyError, DamagedObjectError."""
    header, end = header_of(name, stored)
    if header.kind != kind:
        raise DamagedObjectError(name, f"is a {header.kind}, expected a {kind}")
    payload = stored[end:-DIGEST_BYTES]
    if header.key_id:
        payload = _decrypted(header, stored[:end], payload, keys)
    elif keys.refuses_unencrypted:
        raise UnencryptedObjectError(name)
    if header.content_bytes > CONTENT_BYTES_MAX:
        raise DamagedObjectError(name, f"says it holds {header.content_bytes} bytes")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(payload, header.content_bytes + 1)
    except zlib.error as error:
        raise DamagedObjectError(name, f"not readable: {error}") from None
    if len(content) != header.content_bytes:
        raise DamagedObjectError(
            name, f"holds {len(content)} bytes or more, expected {header.content_bytes}"
        )
    return Opened(header, content, stored_digest(stored))


def _decrypted(header: Header, head: bytes, payload: bytes, keys: Keys) -> bytes:
    name = header.name
    if header.key_id not in keys:
        raise MissingKeyError(name, header.key_id)
    if len(payload) < SALT_BYTES + TAG_BYTES:
        raise DamagedObjectError(name, "too short for what is encrypted")
    salt, sealed = payload[:SALT_BYTES], payload[SALT_BYTES:]
    try:
        return keys.decrypt(header.key_id, name, salt, head, sealed)
    except SealBrokenError:
        raise DamagedObjectError(
            name, f"key {header.key_id!r} does not open it: changed, or another key of that id"
        ) from None


# --- log objects ----------------------------------------------------------------------------------


def seal_log(name: str, entries: Sequence[Entry], previous: bytes, keys: Keys) -> bytes:
    first, last = entries[0], entries[-1]
    stamps = [stamp for entry in entries if (stamp := stamp_of(entry))]
    facts = LogFacts(
        first.index,
        last.index,
        first.term,
        last.term,
        stamps[0] if stamps else 0,
        stamps[-1] if stamps else 0,
        previous,
    )
    return seal(LOG, name, msgspec.msgpack.encode(entries), keys, facts)


def seal_gap(name: str, first: int, last: int, previous: bytes, keys: Keys) -> bytes:
    facts = LogFacts(first, last, 0, 0, 0, 0, previous, gap=True)
    return seal(LOG, name, msgspec.msgpack.encode([]), keys, facts)


def unseal_log(name: str, stored: bytes, keys: Keys) -> LogPiece:
    """Raises what `unseal` does; DamagedObjectError too where the entries are not those of the
    header."""
    opened = unseal(LOG, name, stored, keys)
    facts = opened.header.log
    entries = decoded(name, opened.content, list[Entry])
    if facts is None or bool(entries) == facts.gap:
        raise DamagedObjectError(name, "holds no entries, or some in the place of a gap")
    if facts.gap:
        return LogPiece(facts, [], opened.digest)
    found = (entries[0].index, entries[-1].index, entries[0].term, entries[-1].term)
    if found != (facts.first, facts.last, facts.first_term, facts.last_term):
        raise DamagedObjectError(name, f"holds {found}, its header says {facts}")
    if any(e.index != i for i, e in enumerate(entries, facts.first)):
        raise DamagedObjectError(name, "its entries are not one after the other")
    return LogPiece(facts, entries, opened.digest)


def stamp_of(entry: Entry) -> int:
    """Log time in ms; 0 for an entry that has none."""
    if entry.kind is not EntryKind.DATA:
        return 0
    return int.from_bytes(entry.data[:TIME_BYTES], "big")


# --- the other records ----------------------------------------------------------------------------

Record = TypeVar("Record", Manifest, LineageRecord, Keep)


def seal_record(kind: str, name: str, record: Manifest | LineageRecord | Keep, keys: Keys) -> bytes:
    return seal(kind, name, msgspec.msgpack.encode(record), keys)


def unseal_record(kind: str, name: str, stored: bytes, keys: Keys, type_: type[Record]) -> Record:
    return decoded(name, unseal(kind, name, stored, keys).content, type_)


T = TypeVar("T")


def decoded(name: str, content: bytes, type_: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(content, type=type_)
    except msgspec.DecodeError as error:
        raise DamagedObjectError(name, f"content not readable: {error}") from None
