"""Scripts that EVALSHA finds by their SHA-1. Part of the replicated state, since level 5: they
survive a change of leader, a restart and a snapshot.

1. SCRIPT LOAD keeps a script until SCRIPT FLUSH. At a limit a new one is refused.
2. EVAL keeps its script too, as clients send EVALSHA afterwards. Of these the one that was called
   least recently goes first, when there are more than `SENT` or their texts take more than
   `SENT_BYTES`; or when the state has no room. So do later versions of Redis.
3. A script that is called is moved to the end, whether it succeeds or not. The order is state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from counter_node.counters import weights
from counter_node.counters.replies import Failure

LOADED: Final = 1_000
LOADED_BYTES: Final = 4 << 20
SENT: Final = 500
SENT_BYTES: Final = 1 << 20
SHA_BYTES: Final = 40

TOO_MANY = Failure(
    b"OOM too many loaded scripts; at most %d, and %d bytes of them. It was not loaded; SCRIPT"
    b" FLUSH forgets all" % (LOADED, LOADED_BYTES)
)


def sha_of(source: bytes) -> bytes:
    return hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()


class ScriptTable:
    def __init__(self) -> None:
        self.flush()

    def __len__(self) -> int:
        return len(self._loaded) + len(self._sent)

    def __contains__(self, sha: bytes) -> bool:
        return sha in self._loaded or sha in self._sent

    @property
    def size_bytes(self) -> int:
        """In the units of weights.py; the texts twice, as a dump has them again."""
        return weights.SCRIPT * len(self) + 2 * (self._loaded_bytes + self._sent_bytes)

    def source(self, sha: bytes) -> bytes | None:
        return self._loaded.get(sha) or self._sent.get(sha)

    def called(self, sha: bytes) -> bool:
        """This script runs. False: it is not here yet."""
        if sha in self._loaded:
            return True
        if (source := self._sent.pop(sha, None)) is None:
            return False
        self._sent[sha] = source
        return True

    def keep(self, sha: bytes, source: bytes) -> None:
        """A script of EVAL that is not here yet."""
        self._sent_bytes += len(source)
        self._sent[sha] = source
        while len(self._sent) > SENT or self._sent_bytes > SENT_BYTES:
            self._forget(next(iter(self._sent)))

    def _forget(self, sha: bytes) -> None:
        self._sent_bytes -= len(self._sent.pop(sha))

    def load(self, source: bytes) -> bytes | Failure:
        sha = sha_of(source)
        if sha not in self._loaded:
            if len(self._loaded) >= LOADED or self._loaded_bytes + len(source) > LOADED_BYTES:
                return TOO_MANY
            if sha in self._sent:
                self._forget(sha)
            self._loaded[sha] = source
            self._loaded_bytes += len(source)
        return sha

    def flush(self) -> None:
        """All are forgotten."""
        self._loaded: dict[bytes, bytes] = {}
        self._sent: dict[bytes, bytes] = {}  # called least recently first
        self._loaded_bytes = self._sent_bytes = 0

    def dump(self) -> list[Any]:
        return [list(self._loaded.values()), list(self._sent.values())]

    def take(self, loaded: Iterable[bytes], sent: Iterable[bytes]) -> None:
        """Of `dump`."""
        for source in loaded:
            self.load(source)
        for source in sent:
            self.keep(sha_of(source), source)
