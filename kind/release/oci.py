"""An image that was built here as an OCI layout whose digest depends on its content alone.

Two builds of the same sources differ in times, in the history that a builder writes, and in names
of its machine. So the files of the last stage are packed again:

1. Every time is that of the commit (SOURCE_DATE_EPOCH). Python's own library keeps older ones: its
   byte code names the times of its sources, which its package gave them. Owners are numbers.
   Extended attributes stay.
2. The configuration has what running the image needs, and labels of ours; no history.
3. The compressed layer has neither name nor time.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from kind.tools.shell import Problem

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
SBOM = "usr/share/sbom/sbom.cdx.json"
"""In each image of ours (kind/packaging/sbom)."""
_KEPT = ("Env", "Entrypoint", "Cmd", "WorkingDir", "User", "ExposedPorts")
_LIBRARY = re.compile(r"(?:\./)?usr/(?:local/)?lib/python3")
_XATTR = "SCHILY.xattr."
_COMPRESSION = 6
_READ = 1 << 20


class Packed(NamedTuple):
    """An OCI layout with one image."""

    folder: Path
    digest: str
    architecture: str
    """As OCI calls it, with a variant behind a hyphen where there is one."""
    sbom: bytes


class Blob(NamedTuple):
    digest: str
    size: int

    def described(self, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": self.digest, "size": self.size}


class _Hashing:
    """Writes through, and counts what passes."""

    def __init__(self, target: IO[bytes] | None = None) -> None:
        self._target, self._sum, self.size = target, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._sum.update(data)
        self.size += len(data)
        if self._target is not None:
            self._target.write(data)
        return len(data)

    def flush(self) -> None:
        """As a file has it."""

    @property
    def digest(self) -> str:
        return f"sha256:{self._sum.hexdigest()}"


class _Both:
    def __init__(self, *targets: Any) -> None:
        self._targets = targets

    def write(self, data: bytes) -> int:
        for target in self._targets:
            target.write(data)
        return len(data)


def pack(saved: Path, folder: Path, epoch: int, labels: Mapping[str, str]) -> Packed:
    """From an archive of `docker save` with one image. Raises Problem for what is no image of
    ours."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with tarfile.open(saved) as archive:
        (image,) = json.loads(_read(archive, "manifest.json"))
        config = json.loads(_read(archive, image["Config"]))
        if len(image["Layers"]) != 1:
            raise Problem(
                f"{image['RepoTags']} has {len(image['Layers'])} layers; one is wanted",
                "end its Dockerfile with FROM scratch and one COPY",
            )
        content = archive.extractfile(image["Layers"][0])
        assert content is not None
        diff, packed, sbom = _layer(content, blobs, epoch)
    if not sbom:
        raise Problem(f"{image['RepoTags']} has no {SBOM}", "kind/packaging/sbom writes it")
    made = _configured(config, diff, epoch, labels)
    about = _store(blobs, made)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": about.described(CONFIG),
        "layers": [packed.described(LAYER)],
        "annotations": dict(sorted(labels.items())),
    }
    described = _store(blobs, _json(manifest))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [described.described(MANIFEST)],
    }
    (folder / "index.json").write_bytes(_json(index))
    return Packed(folder, described.digest, architecture(config), sbom)


def architecture(config: Mapping[str, Any]) -> str:
    """Of an image's configuration."""
    variant = config.get("variant", "")
    return f"{config['architecture']}-{variant}" if variant else str(config["architecture"])


def _layer(source: IO[bytes], blobs: Path, epoch: int) -> tuple[str, Blob, bytes]:
    """The digest of the files, the compressed blob, and the list of what is in the image."""
    sbom = b""
    new = blobs / "layer.new"
    with new.open("wb") as file:
        outside = _Hashing(file)
        with gzip.GzipFile("", "wb", _COMPRESSION, outside, mtime=0) as packed:
            inside = _Hashing()
            with (
                tarfile.open(fileobj=source, mode="r|*", bufsize=_READ) as old,
                tarfile.open(
                    fileobj=cast(IO[bytes], _Both(packed, inside)),
                    mode="w|",
                    format=tarfile.PAX_FORMAT,
                    bufsize=_READ,
                ) as target,
            ):
                for member in old:
                    content = old.extractfile(member) if member.isreg() else None
                    if member.name.removeprefix("./") == SBOM and content is not None:
                        sbom = content.read()
                        target.addfile(settled(member, epoch), io.BytesIO(sbom))
                    else:
                        target.addfile(settled(member, epoch), content)
    blob = Blob(outside.digest, outside.size)
    new.rename(blobs / blob.digest.removeprefix("sha256:"))
    return inside.digest, blob, sbom


def settled(member: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    """Without what another build would write otherwise."""
    library = member.name.endswith(".py") and _LIBRARY.match(member.name)
    member.mtime = min(int(member.mtime), epoch) if library else epoch
    member.uname = member.gname = ""
    member.pax_headers = {k: v for k, v in member.pax_headers.items() if k.startswith(_XATTR)}
    return member


def _configured(
    config: Mapping[str, Any], diff: str, epoch: int, labels: Mapping[str, str]
) -> bytes:
    used = config.get("config") or {}
    made: dict[str, Any] = {
        "created": moment(epoch),
        "architecture": config["architecture"],
        "os": config["os"],
        "config": {key: used[key] for key in _KEPT if used.get(key)}
        | {"Labels": dict(sorted(labels.items()))},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    if config.get("variant"):
        made["variant"] = config["variant"]
    return _json(made)


def moment(epoch: int) -> str:
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _store(blobs: Path, content: bytes) -> Blob:
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return Blob(f"sha256:{digest}", len(content))


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name)
    assert content is not None
    return content.read()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
