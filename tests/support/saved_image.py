"""A small image as `docker save` writes it, for tests of releases without an engine."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from kind.release import oci

SBOM = b'{"bomFormat": "CycloneDX"}'
CONFIG = {
    "architecture": "arm64",
    "os": "linux",
    "variant": "v8",
    "config": {"Hostname": "abc", "Env": ["A=1"], "User": "65532:65532", "Image": "sha256:1"},
    "history": [{"created_by": "COPY"}],
}
OLD = 1_000_000_000
LIBRARY = "usr/lib/python3.13/abc.py"


def _add(archive: tarfile.TarFile, about: tarfile.TarInfo, content: bytes) -> None:
    about.size = len(content)
    archive.addfile(about, io.BytesIO(content))


def _layer(mtime: float, owner: str, content: bytes, sbom: bool) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        files = {
            LIBRARY: (b"from Debian", OLD + 0.5),
            "opt/app/old.py": (b"built before the commit", OLD),
            "new": (content, mtime),
        }
        if sbom:
            files[oci.SBOM] = (SBOM, mtime)
        for path, (data, time) in files.items():
            about = tarfile.TarInfo(path)
            about.mtime, about.uname = time, owner  # type: ignore[assignment]
            about.pax_headers = {"SCHILY.xattr.user.kept": "1", "atime": str(mtime)}
            _add(archive, about, data)
        link = tarfile.TarInfo("hard")
        link.type, link.linkname, link.mtime = tarfile.LNKTYPE, LIBRARY, mtime  # type: ignore[assignment]
        archive.addfile(link)
    return layer.getvalue()


def saved(
    target: Path,
    *,
    mtime: float = OLD,
    owner: str = "",
    content: bytes = b"made now",
    sbom: bool = True,
    **config: str,
) -> Path:
    """Of one layer; `config` overrides CONFIG."""
    document = CONFIG | {"created": str(mtime)} | config
    parts = {
        "layer.tar": _layer(mtime, owner, content, sbom),
        "config.json": json.dumps(document).encode(),
        "manifest.json": json.dumps(
            [{"Config": "config.json", "RepoTags": ["small"], "Layers": ["layer.tar"]}]
        ).encode(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w") as outer:
        for path, data in parts.items():
            _add(outer, tarfile.TarInfo(path), data)
    return target
