"""Encryption of objects, before they leave this process: AES-256-GCM, with a key of its own for
each object.

    salt      HMAC-SHA-256(authentication key, name, header, content), 32 bytes, kept in the object
    key       HKDF-SHA-256(master key, salt, name)
    nonce     zero: a key encrypts one content only

A nonce that repeats under one key gives both contents away, and several uploaders share a key
without knowing of each other. Here nothing is counted and nothing is random: a key comes from the
content that it encrypts, so that it can repeat only for the very same name and content, which gives
the very same bytes. The name and the header are authenticated with the content: an object under
another name, or with another range, is refused.

Keys have ids. One of them encrypts; all of them decrypt, so that a key is changed by adding one,
and an old one goes when retention has taken the last object that it encrypted.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
SALT_BYTES: Final = 32
TAG_BYTES: Final = 16
_NONCE: Final = bytes(12)
_AUTHENTICATION: Final = b"countercluster archive: salts"
_ENCRYPTION: Final = b"countercluster archive: object "
_PRINT: Final = b"countercluster archive: prints"


class SealBrokenError(Exception):
    """Changed, or encrypted with another key of the same id."""


class Keys:
    """`active`: the id of the key that encrypts; empty: nothing is encrypted. With one, what is not
    encrypted is refused, unless `accept_unencrypted`."""

    def __init__(
        self,
        keys: Mapping[str, bytes] | None = None,
        active: str = "",
        *,
        accept_unencrypted: bool = False,
    ) -> None:
        self._keys = dict(keys or {})
        self.active = active
        self.refuses_unencrypted = bool(active) and not accept_unencrypted
        for key_id, key in self._keys.items():
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {key_id!r} has {len(key)} bytes; exactly {KEY_BYTES}")
        if active and active not in self._keys:
            raise ValueError(f"key {active!r} is to encrypt, and is not among the keys given")

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def salt(self, key_id: str, name: str, header: bytes, content: bytes) -> bytes:
        mac = hmac.new(_derived(self._keys[key_id], b"", _AUTHENTICATION), digestmod="sha256")
        for part in (name.encode(), header):
            mac.update(len(part).to_bytes(8, "big") + part)
        mac.update(content)
        return mac.digest()

    def encrypt(self, key_id: str, name: str, salt: bytes, header: bytes, content: bytes) -> bytes:
        return self._cipher(key_id, name, salt).encrypt(_NONCE, content, header)

    def decrypt(self, key_id: str, name: str, salt: bytes, header: bytes, sealed: bytes) -> bytes:
        """Raises SealBrokenError."""
        try:
            return self._cipher(key_id, name, salt).decrypt(_NONCE, sealed, header)
        except InvalidTag:
            raise SealBrokenError from None

    def print_of(self, digest: bytes) -> str:
        """What stands for a digest in a name. With a key nobody without it can tell whether a
        guessed content is the one."""
        if self.active:
            key = _derived(self._keys[self.active], b"", _PRINT)
            digest = hmac.new(key, digest, "sha256").digest()
        return digest.hex()[:16]

    def _cipher(self, key_id: str, name: str, salt: bytes) -> AESGCM:
        return AESGCM(_derived(self._keys[key_id], salt, _ENCRYPTION + name.encode()))


def _derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt or None, purpose).derive(key)


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
