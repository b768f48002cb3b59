"""What can be wrong with an archive, in words for whoever has to act."""

from __future__ import annotations


class ArchiveError(Exception):
    """Base of all."""


class DamagedObjectError(ArchiveError):
    """An object is not what was written under its name: cut off, changed, or another one."""

    def __init__(self, name: str, found: str) -> None:
        super().__init__(f"object {name}: {found}")
        self.name = name


class UnencryptedObjectError(DamagedObjectError):
    """Anybody who may write to the store could have made it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            name,
            "is not encrypted, and this archive is. If it was written before encryption was "
            "switched on, allow that (--accept-unencrypted); else somebody without a key put it "
            "there",
        )


class NewerFormatError(ArchiveError):
    """Written by a later version. Nothing of it is believed by this one."""

    def __init__(self, name: str, found: int, known: int) -> None:
        super().__init__(
            f"object {name}: format {found}; this program reads up to {known}. Use a newer one"
        )


class MissingKeyError(ArchiveError):
    def __init__(self, name: str, key_id: str) -> None:
        super().__init__(
            f"object {name}: encrypted with key {key_id!r}, which is not among the keys given. "
            f"Add it to the folder of keys"
        )


class ForkedError(ArchiveError):
    """Two lines of one history: the same index stands for two entries. One of the two members has
    data that were rolled back, or copied. Nothing is overwritten."""

    def __init__(self, name: str, found: str) -> None:
        super().__init__(
            f"object {name}: {found}. The history has forked: a volume was rolled back or copied. "
            f"Nothing was overwritten; find out which line is the right one"
        )
        self.name = name


class UnreachableMomentError(ArchiveError):
    """The archive has nothing that leads to the moment that was asked for."""
