"""What an archive holds, from the names and sizes of its objects alone."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from counter_node.archive.rules.names import (
    KeepPlace,
    LineagePlace,
    LogPlace,
    ManifestPlace,
    PartPlace,
    PassedPlace,
    SnapshotName,
    place_of,
)
from counter_node.archive.rules.objects import Manifest


class Contents(msgspec.Struct):
    """Of one history. `logs`: first indexes, ascending; `log_sizes`: of these objects."""

    history: str
    lineage: bool = False
    logs: list[int] = []
    log_sizes: dict[int, int] = {}
    passed: set[int] = set()
    """First indexes of log objects that are damaged, and were passed by a snapshot."""
    manifests: set[SnapshotName] = set()
    parts: dict[SnapshotName, dict[int, int]] = {}
    """Sizes by number."""
    keeps: list[str] = []

    def is_whole(self, name: SnapshotName, manifest: Manifest) -> bool:
        """Every part that the manifest names is there, with its size."""
        sizes = self.parts.get(name, {})
        return all(sizes.get(n) == part.size for n, part in enumerate(manifest.parts))


def contents_of(objects: Iterable[tuple[str, int]]) -> dict[str, Contents]:
    """By history, from (name, size); other objects are passed over."""
    found: dict[str, Contents] = {}
    for name, size in objects:
        place = place_of(name)
        if place is None:
            continue
        contents = found.setdefault(place.history, Contents(place.history))
        match place:
            case LogPlace():
                contents.logs.append(place.first)
                contents.log_sizes[place.first] = size
            case PassedPlace():
                contents.passed.add(place.first)
            case ManifestPlace():
                contents.manifests.add(place.snapshot)
            case PartPlace():
                contents.parts.setdefault(place.snapshot, {})[place.number] = size
            case LineagePlace():
                contents.lineage = True
            case KeepPlace():
                contents.keeps.append(place.name)
    for contents in found.values():
        contents.logs.sort()
        contents.keeps.sort()
    return found
