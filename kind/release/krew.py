"""The plugin for krew: an archive that krew unpacks on any machine, and the manifest that names it.

The plugin is Python. The archive has both wheels and a program that makes an environment of them in
the user's data folder when it is first called; the libraries come from the package index that pip
uses there."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

from kind.release.notes import filled
from kind.release.wanted import Wanted

PROGRAM = "kubectl-counters"


def archive_name(wanted: Wanted) -> str:
    return f"{PROGRAM}-{wanted.version}.tar.gz"


def archive(files: Mapping[str, bytes], epoch: int) -> bytes:
    """`files`: contents by name, PROGRAM among them. The same contents give the same bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as outside,
        tarfile.open(fileobj=outside, mode="w", format=tarfile.PAX_FORMAT) as inside,
    ):
        for name in sorted(files):
            about = tarfile.TarInfo(name)
            about.size, about.mtime = len(files[name]), epoch
            about.mode = 0o755 if name == PROGRAM else 0o644
            inside.addfile(about, io.BytesIO(files[name]))
    return packed.getvalue()


def manifest(template: str, wanted: Wanted, sha256: str) -> str:
    """Without a URL it is good for --archive alone: then its address is the file's name."""
    name = archive_name(wanted)
    words = {
        "version": wanted.version,
        "uri": f"{wanted.url}/{name}" if wanted.url else name,
        "sha256": sha256,
        "program": PROGRAM,
    }
    return filled(template, words)
