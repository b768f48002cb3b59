"""What `make release` wrote and pushed: everything is there, by digest, of one version, and the
same when it is made again."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from kind.release import oci
from kind.release.registry import REVISION
from kind.release.registry import Registry as Crane
from kind.tools.settings import REPOSITORY
from kind.tools.shell import run
from tests.release.conftest import VERSION, Made, release

WANTED = {
    "LICENSE", "README.md", "RELEASE_NOTES.md", "SHA256SUMS", "VERSION", "crds.yaml", "images.txt",
    "install.yaml", "install-namespaced.yaml", "install-namespaced-machines.yaml", "mirror.sh",
    "krew/counters.yaml", "kubectl-counters-0.2.0-rc.7.tar.gz",
    "countercluster-0.2.0rc7-py3-none-any.whl", "kubectl_counters-0.2.0rc7-py3-none-any.whl",
    "kustomize/crds.yaml", "kustomize/kustomization.yaml", "kustomize/machines.yaml",
    "kustomize/namespace.yaml", "kustomize/operator.yaml", "kustomize/rbac.yaml",
    "kustomize/registry.yaml", "kustomize/roles.yaml", "samples/clicks.yaml", "samples/full.yaml",
    "sbom/node.cdx.json", "sbom/operator.cdx.json", "sbom/redis.cdx.json",
}  # fmt: skip
PYTHON_VERSION = "0.2.0rc7"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_everything_is_in_the_folder_and_the_checksums_are_right(made: Made) -> None:
    assert set(contents(made.folder)) == WANTED
    run("sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS", cwd=made.folder)
    assert (made.folder / "VERSION").read_text() == f"{VERSION}\n"


def test_every_image_that_a_file_names_is_in_the_registry_by_digest_and_of_this_version(
    made: Made, logged_in: Crane
) -> None:
    named = set()
    for name, content in contents(made.folder).items():
        if name.endswith((".yaml", ".txt", ".md")):
            text = content.decode()
            assert name.endswith(".md") or not re.search(r"countercluster/[a-z]+:", text), name
            found = re.findall(rf"{re.escape(made.path)}/[a-z]+[^\s\"`|]*", text)
            assert all(re.fullmatch(r".*/[a-z]+@sha256:[0-9a-f]{64}", image) for image in found)
            named |= set(found)
    assert named == set((made.folder / "images.txt").read_text().split())
    commit = run("git", "-C", REPOSITORY, "rev-parse", "HEAD").strip()
    for image in named:
        index = json.loads(logged_in("manifest", image))
        assert index["mediaType"] == oci.INDEX
        labels = json.loads(logged_in("config", image))["config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == VERSION
        assert labels[REVISION].removesuffix("-uncommitted") == commit


def test_the_lists_of_what_is_in_the_images_are_cyclonedx_and_name_the_libraries(
    made: Made,
) -> None:
    for name, part in (("node", "msgspec"), ("operator", "kopf"), ("redis", "redis-server")):
        document = json.loads((made.folder / "sbom" / f"{name}.cdx.json").read_text())
        assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
        assert part in {component["name"] for component in document["components"]}


def test_the_wheels_are_of_this_version_and_have_their_part_alone(made: Made) -> None:
    for name in ("countercluster", "kubectl_counters"):
        with zipfile.ZipFile(made.folder / f"{name}-{PYTHON_VERSION}-py3-none-any.whl") as wheel:
            rooms = {entry.partition("/")[0] for entry in wheel.namelist()}
            assert rooms == {name, f"{name}-{PYTHON_VERSION}.dist-info"}
            if name == "countercluster":
                text = wheel.read("countercluster/__init__.py").decode()
                assert f'\n__version__ = "{VERSION}"\n' in text


def _objects(text: str) -> list[dict[str, Any]]:
    found = [document for document in yaml.safe_load_all(text) if document]
    return sorted(found, key=lambda one: (one["kind"], one["metadata"]["name"]))


def test_kustomize_makes_what_the_one_file_has(made: Made, tmp_path: Path) -> None:
    built = run("kubectl", "kustomize", made.folder / "kustomize")
    assert "countercluster-registry" not in built
    one = (made.folder / "install.yaml").read_text()
    assert _objects(built) == _objects(one)
    for image in (made.folder / "images.txt").read_text().split():
        assert built.count(image) == 1
    # The one variable.
    base = Path(shutil.copytree(made.folder / "kustomize", tmp_path / "kustomize"))
    variable = base / "registry.yaml"
    variable.write_text(variable.read_text().replace(made.path, "mirror.example/some/path"))
    moved = run("kubectl", "kustomize", base)
    assert moved == built.replace(made.path, "mirror.example/some/path")


@pytest.mark.slow
def test_the_same_again_is_the_same_to_the_last_byte(made: Made, tmp_path: Path) -> None:
    before = contents(made.folder)
    again = made._replace(folder=tmp_path / VERSION)
    done = release(again, "--version", VERSION)
    assert done.returncode == 0, done.stderr
    assert contents(again.folder) == before
