"""Bringing images to the nodes: a node is sent only the layers that it does not hold.

`docker save` writes whole images, and importing one again costs as much as the first time. An OCI
layout may leave out what the receiver has: containerd looks blobs up by digest in its own store. So
a change of a source file sends kilobytes instead of a hundred megabytes."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tarfile
from pathlib import Path
from typing import IO, Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def thin(saved: Path, held: frozenset[str], target: Path) -> None:
    """Rewrites an archive of `docker save`, in its old form or as an OCI layout, without the blobs
    in `held` (digests)."""
    with tarfile.open(saved) as source, tarfile.open(target, "w") as archive:
        if "oci-layout" in source.getnames():
            _filter(source, held, archive)
        else:
            _convert(source, held, archive)


def _filter(source: tarfile.TarFile, held: frozenset[str], archive: tarfile.TarFile) -> None:
    for member in source:
        folder, name = posixpath.split(member.name)
        if folder == "blobs/sha256" and f"sha256:{name}" in held:
            continue
        archive.addfile(member, source.extractfile(member) if member.isfile() else None)


def _convert(source: tarfile.TarFile, held: frozenset[str], archive: tarfile.TarFile) -> None:
    """Engines before version 25 name layers by an id of their own; their digests are in the image's
    configuration."""
    written = set(held)

    def put(digest: str, size: int, content: IO[bytes]) -> None:
        if digest not in written:
            written.add(digest)
            _add(archive, f"blobs/sha256/{digest.removeprefix('sha256:')}", size, content)

    _add(archive, "oci-layout", *_sized(b'{"imageLayoutVersion":"1.0.0"}'))
    index = []
    for image in json.loads(_read(source, "manifest.json")):
        config = _read(source, image["Config"])
        layers = []
        for name, digest in zip(
            image["Layers"], json.loads(config)["rootfs"]["diff_ids"], strict=True
        ):
            member = _resolved(source, name)
            layers.append({"mediaType": LAYER, "digest": digest, "size": member.size})
            put(digest, member.size, _open(source, member))
        put(_digest(config), *_sized(config))
        about_config = {"mediaType": CONFIG, "digest": _digest(config), "size": len(config)}
        manifest = _json(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": about_config, "layers": layers}
        )
        put(_digest(manifest), *_sized(manifest))
        for tag in image["RepoTags"]:
            named = {"io.containerd.image.name": f"docker.io/{tag}"}
            index.append(
                {
                    "mediaType": MANIFEST,
                    "digest": _digest(manifest),
                    "size": len(manifest),
                    "annotations": named,
                }
            )
    _add(archive, "index.json", *_sized(_json({"schemaVersion": 2, "manifests": index})))


def _resolved(source: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """The file behind a name: a layer that occurs again is a symbolic link to its first
    occurrence."""
    member = source.getmember(name)
    while member.issym():
        member = source.getmember(
            posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
        )
    return member


def _open(source: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = source.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name} in the saved image is no file")
    return content


def _read(source: tarfile.TarFile, name: str) -> bytes:
    return _open(source, source.getmember(name)).read()


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    about = tarfile.TarInfo(name)
    about.size = size
    about.mode = 0o644
    archive.addfile(about, content)


def _sized(content: bytes) -> tuple[int, IO[bytes]]:
    return len(content), io.BytesIO(content)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
