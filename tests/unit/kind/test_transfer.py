"""A node is sent only the layers that it lacks."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from kind.transfer import thin

BASE, APP = b"the layer that all images share", b"the layer with the sources"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(content)
    archive.addfile(about, io.BytesIO(content))


def old_form(path: Path) -> Path:
    """Two images as engines before version 25 save them: the shared layer occurs once and is linked
    to the second time."""
    config = json.dumps({"rootfs": {"diff_ids": [digest(BASE), digest(APP)]}}).encode()
    other = json.dumps({"rootfs": {"diff_ids": [digest(BASE)]}}).encode()
    with tarfile.open(path, "w") as archive:
        add(archive, "aa/layer.tar", BASE)
        add(archive, "bb/layer.tar", APP)
        link = tarfile.TarInfo("cc/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../aa/layer.tar"
        archive.addfile(link)
        add(archive, "config.json", config)
        add(archive, "other.json", other)
        images = [
            {
                "Config": "config.json",
                "RepoTags": ["x/node:dev"],
                "Layers": ["aa/layer.tar", "bb/layer.tar"],
            },
            {"Config": "other.json", "RepoTags": ["x/redis:dev"], "Layers": ["cc/layer.tar"]},
        ]
        add(archive, "manifest.json", json.dumps(images).encode())
    return path


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {m.name: file.read() for m in archive if (file := archive.extractfile(m))}


def blob(files: dict[str, bytes], wanted: str) -> bytes:
    return files[f"blobs/sha256/{wanted.removeprefix('sha256:')}"]


def test_a_node_that_holds_nothing_is_sent_a_whole_oci_layout(tmp_path: Path) -> None:
    thin(old_form(tmp_path / "saved.tar"), frozenset(), tmp_path / "out.tar")
    files = content(tmp_path / "out.tar")
    index = json.loads(files["index.json"])
    names = [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]]
    assert names == ["docker.io/x/node:dev", "docker.io/x/redis:dev"]
    for entry in index["manifests"]:
        manifest = json.loads(blob(files, entry["digest"]))
        assert digest(blob(files, manifest["config"]["digest"])) == manifest["config"]["digest"]
        for layer in manifest["layers"]:
            assert len(blob(files, layer["digest"])) == layer["size"]


def test_layers_that_the_node_holds_are_left_out_and_still_named(tmp_path: Path) -> None:
    thin(old_form(tmp_path / "saved.tar"), frozenset({digest(BASE)}), tmp_path / "out.tar")
    files = content(tmp_path / "out.tar")
    assert BASE not in files.values()
    assert APP in files.values()
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]["digest"]))
    assert [layer["digest"] for layer in manifest["layers"]] == [digest(BASE), digest(APP)]


@pytest.mark.parametrize("held", [frozenset(), frozenset({digest(BASE)})])
def test_an_archive_that_is_an_oci_layout_already_only_loses_blobs(
    tmp_path: Path, held: frozenset[str]
) -> None:
    thin(old_form(tmp_path / "saved.tar"), frozenset(), tmp_path / "layout.tar")
    thin(tmp_path / "layout.tar", held, tmp_path / "out.tar")
    before, after = content(tmp_path / "layout.tar"), content(tmp_path / "out.tar")
    assert {digest(before[name]) for name in before.keys() - after.keys()} == held
    assert after.items() <= before.items()
