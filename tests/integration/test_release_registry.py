"""A release in a real registry with a password: pushed by digest, the same again, joined by another
architecture, never changed, copied to another path, signed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kind.release import folder, manifests, oci
from kind.release.__main__ import IMAGES
from kind.release.oci import Packed
from kind.release.registry import REVISION
from kind.release.registry import Registry as Crane
from kind.tools import golang
from kind.tools.settings import cache_root
from kind.tools.shell import Problem, run
from kind.tools.store import Store
from tests.support.registry import PASSWORD, USER, Registry
from tests.support.saved_image import saved

VERSION, COMMIT = "0.2.0", "c0ffee"


@pytest.fixture(scope="module")
def crane_path() -> Path:
    store = Store(cache_root())
    if not golang.has_installed(store, "crane"):
        with store.exclusive():
            golang.installed(store, "crane")
    return golang.installed(store, "crane") / "crane"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry"), password=True) as running:
        yield running


@pytest.fixture
def crane(
    crane_path: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Crane:
    """Logged in."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    crane = Crane(crane_path)
    crane("auth", "login", registry.host, "-u", USER, "-p", PASSWORD)
    return crane


def packed(folder: Path, content: str = "a", commit: str = COMMIT, arch: str = "amd64") -> Packed:
    name = f"{content}-{commit}-{arch}"
    archive = saved(folder / f"{name}.tar", content=content.encode(), architecture=arch, variant="")
    labels = {REVISION: commit, "title": content}
    return oci.pack(archive, folder / name, 1_700_000_000, labels)


def test_who_is_not_logged_in_learns_it_before_anything_is_built(
    crane_path: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(Problem, match="UNAUTHORIZED") as caught:
        Crane(crane_path).reach(f"{registry.host}/a/node")
    assert "docker login" in caught.value.remedy
    with pytest.raises(Problem) as caught:
        Crane(crane_path).reach("127.0.0.1:1/a/node")
    assert "is the host in REGISTRY right" in caught.value.remedy


def test_the_same_release_again_has_the_same_digest_and_another_content_is_refused(
    crane: Crane, registry: Registry, tmp_path: Path
) -> None:
    repository = f"{registry.host}/again/node"
    crane.reach(repository)
    first = crane.push(packed(tmp_path / "1"), repository, VERSION, COMMIT)
    assert first.architectures == ("amd64",)
    assert crane.push(packed(tmp_path / "2"), repository, VERSION, COMMIT) == first
    with pytest.raises(Problem, match="is in the registry already, with another content") as caught:
        crane.push(packed(tmp_path / "3", "b"), repository, VERSION, COMMIT)
    assert "choose another VERSION" in caught.value.remedy
    assert crane("digest", f"{repository}:{VERSION}").strip() == first.digest


def test_another_machine_adds_its_architecture_to_the_version_of_its_commit(
    crane: Crane, registry: Registry, tmp_path: Path
) -> None:
    repository = f"{registry.host}/joined/node"
    crane.push(packed(tmp_path / "1"), repository, VERSION, COMMIT)
    with pytest.raises(Problem, match=r"0\.2\.0-amd64 is of another commit, c0ffee"):
        crane.push(
            packed(tmp_path / "old", commit="dead", arch="s390x"), repository, VERSION, "dead"
        )
    both = crane.push(packed(tmp_path / "2", arch="arm64"), repository, VERSION, COMMIT)
    assert both.architectures == ("amd64", "arm64")
    index = json.loads(crane("manifest", f"{repository}@{both.digest}"))
    assert [m["platform"]["architecture"] for m in index["manifests"]] == ["amd64", "arm64"]
    for arch in ("amd64", "arm64"):
        named = crane("digest", "--platform", f"linux/{arch}", f"{repository}@{both.digest}")
        assert named.strip() == packed(tmp_path / f"again-{arch}", arch=arch).digest
    # The first machine again: what the other one added stays.
    assert crane.push(packed(tmp_path / "3"), repository, VERSION, COMMIT) == both


def released(crane: Crane, at: str, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The part of a release's folder that mirror.sh needs."""
    images = {}
    for name in IMAGES:
        repository = f"{at}/{name}"
        there = crane.push(packed(tmp_path / "images", name), repository, VERSION, COMMIT)
        images[name] = f"{repository}@{there.digest}"
    out = tmp_path / "dist"
    (out / "samples").mkdir(parents=True)
    (out / "kustomize").mkdir()
    install = manifests.by_digest("image: countercluster/operator:dev", images)
    (out / "install.yaml").write_text(install)
    parts = dict.fromkeys(manifests.PARTS, "value: countercluster/node:dev\n")
    for name, text in manifests.kustomize(parts, images, at).items():
        (out / "kustomize" / name).write_text(text)
    (out / "images.txt").write_text("".join(f"{image}\n" for image in images.values()))
    (out / "VERSION").write_text(f"{VERSION}\n")
    (out / "mirror.sh").write_text((folder.FILES / "mirror.sh").read_text())
    return out, images


def test_the_images_are_copied_to_another_path_by_one_variable(
    crane: Crane, crane_path: Path, registry: Registry, tmp_path: Path
) -> None:
    at, to = f"{registry.host}/acme/counters", f"{registry.host}/inside/mirror"
    out, images = released(crane, at, tmp_path)
    script = ["sh", str(out / "mirror.sh")]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "MIRROR=host/path" in done.stderr
    environment = {**os.environ, "MIRROR": to, "CRANE": str(crane_path)}
    for _ in range(2):  # again is as good
        run(*script, env=environment, timeout_s=60)
    for name, image in images.items():
        digest = image.partition("@")[2]
        assert crane("digest", f"{to}/{name}:{VERSION}").strip() == digest
        crane("manifest", f"{to}/{name}@{digest}")
    operator = images["operator"].replace(at, to)
    assert (out / "mirrored" / "install.yaml").read_text() == f"image: {operator}"
    base = out / "mirrored" / "kustomize"
    assert f"value: {images['node'].replace(at, to)}\n" in (base / "operator.yaml").read_text()
    assert f"\n  registry: {to}\n" in (base / "registry.yaml").read_text()
    assert at not in "".join(f.read_text() for f in (out / "mirrored").rglob("*.yaml"))
