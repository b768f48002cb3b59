"""From the address of an archive and its options to a store and the keys."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from counter_node.archive.file_store import FileStore
from counter_node.archive.rules.errors import ArchiveError
from counter_node.archive.rules.sealing import KEY_BYTES, Keys
from counter_node.archive.stores import Store

_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Destination(msgspec.Struct, frozen=True):
    """`url`: file:///directory or s3://bucket/prefix. The rest counts for S3 alone."""

    url: str
    endpoint: str = ""
    region: str = "us-east-1"
    path_style: bool = False
    ca_file: str = ""
    credentials: str = ""
    timeout_s: float = 30.0


def open_store(to: Destination) -> Store:
    """Raises ArchiveError for an address that is none."""
    parts = urlsplit(to.url)
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return FileStore(Path(parts.path))
    if parts.scheme == "s3":
        # Only who archives to S3 pays for its client: 16 MB of a library.
        from counter_node.archive.s3_store import S3Settings, S3Store, settings_of

        try:
            bucket, prefix = settings_of(to.url)
        except ValueError as error:
            raise ArchiveError(str(error)) from None
        fields = msgspec.structs.asdict(to)
        del fields["url"]
        try:
            return S3Store(S3Settings(bucket, prefix, **fields))
        except (OSError, ValueError) as error:
            raise ArchiveError(f"{to.url}: {error}") from error
    raise ArchiveError(
        f"{to.url!r} is no address of an archive; file:///directory and s3://bucket/prefix are"
    )


def keys_from(folder: str, active: str = "", *, accept_unencrypted: bool = False) -> Keys:
    """The keys of a folder, as a Secret is mounted: a file for each, named by the key's id, with 32
    bytes, raw or in Base64. `active` encrypts; without it the one whose id sorts last, so that a
    key named by its date takes over when it is added. Raises ArchiveError."""
    if not folder:
        return Keys()
    try:
        files = sorted(p for p in Path(folder).iterdir() if _KEY_ID.fullmatch(p.name))
        keys = {path.name: _key(path.name, path.read_bytes()) for path in files}
        if not keys:
            raise ArchiveError(f"{folder}: there is no key in this folder")
        return Keys(keys, active or max(keys), accept_unencrypted=accept_unencrypted)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{folder}: {error}") from error


def _key(key_id: str, found: bytes) -> bytes:
    if len(found) == KEY_BYTES:
        return found
    try:
        key = base64.b64decode(found.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ArchiveError(
            f"key {key_id!r}: {len(found)} bytes; 32 raw ones are needed, or 32 in Base64"
        )
    return key
