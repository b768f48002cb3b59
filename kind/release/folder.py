"""The folder of a release, put together from what was built: everything that is in it, and the
checksums of all.

It is made beside its place and moved there when it is whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from generators import manifests as joined
from kind.release import krew, manifests, notes
from kind.release.notes import About
from kind.tools.settings import REPOSITORY

FILES = Path(__file__).parent / "files"
SUMS = "SHA256SUMS"
_INSTALL = ("install.yaml", "install-namespaced.yaml", "install-namespaced-machines.yaml")


def write(folder: Path, about: About, sboms: Mapping[str, bytes], epoch: int) -> None:
    """All but checksums and signatures; the wheels are there already."""
    wanted, images = about.wanted, about.images
    for name, text in joined.rendered().items():
        assert name in _INSTALL
        (folder / name).write_text(manifests.by_digest(text, images))
    crds = joined.CRD.read_text()
    (folder / "crds.yaml").write_text(crds)
    parts = {
        name: crds if name == "crds.yaml" else (joined.MANIFESTS / name).read_text()
        for name in manifests.PARTS
    }
    _all(folder / "kustomize", manifests.kustomize(parts, images, wanted.registry))
    samples = {
        file.name: file.read_text() for file in (joined.MANIFESTS / "samples").glob("*.yaml")
    }
    _all(folder / "samples", samples)
    _all(folder / "sbom", {f"{name}.cdx.json": sbom.decode() for name, sbom in sboms.items()})
    _plugin(folder, about, epoch)
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    files = {
        "VERSION": f"{wanted.version}\n",
        "images.txt": "".join(f"{images[name]}\n" for name in sorted(images)),
        "RELEASE_NOTES.md": notes.notes(changelog, about),
        "README.md": notes.readme(_file("README.md"), _file("signed.md"), about),
        "LICENSE": (REPOSITORY / "LICENSE").read_text(),
        "mirror.sh": (FILES / "mirror.sh").read_text(),
    }
    _all(folder, files)


def _plugin(folder: Path, about: About, epoch: int) -> None:
    wheels = {name: (folder / name).read_bytes() for name in about.wheels}
    launcher = notes.filled(_file(krew.PROGRAM), {"version": about.wanted.python_version})
    others = {
        krew.PROGRAM: launcher.encode(),
        "LICENSE": (REPOSITORY / "LICENSE").read_bytes(),
    }
    archive = krew.archive(wheels | others, epoch)
    (folder / about.plugin).write_bytes(archive)
    described = krew.manifest(_file("krew.yaml"), about.wanted, hashlib.sha256(archive).hexdigest())
    _all(folder / "krew", {"counters.yaml": described})


def _all(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def _file(name: str) -> str:
    return (FILES / name).read_text()


def sums(folder: Path) -> str:
    """As `sha256sum` writes them, of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder)}\n"
        for file in files
    )


def move(whole: Path, place: Path) -> None:
    """The release of the same version that was there goes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    shutil.move(whole, place)
