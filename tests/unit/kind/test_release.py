"""What of a release needs neither engine nor registry: what is asked for is checked in words, the
manifests name images by digest, notes come from the changelog, the plugin's archive and an image's
layer depend on their contents alone."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from generators import manifests as joined
from kind.release import folder, krew, manifests, notes, oci, registry, signing, wheels
from kind.release.__main__ import IMAGES, common, source
from kind.release.notes import About
from kind.release.registry import Pushed
from kind.release.stamp import stamp
from kind.release.wanted import Wanted, checked
from kind.tools.settings import REPOSITORY
from kind.tools.shell import Problem, run
from tests.support.saved_image import LIBRARY, SBOM, saved

HOST = "registry.example.com:5000"
WANTED = Wanted("0.2.0", f"{HOST}/acme/counters", "")
IDS = {
    name: f"{WANTED.image(name)}@sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    for name in IMAGES
}
ABOUT = About(
    WANTED,
    "c0ffee",
    "2026-12-01",
    IDS,
    ("linux/amd64", "linux/arm64"),
    ("countercluster-0.2.0-py3-none-any.whl", "kubectl_counters-0.2.0-py3-none-any.whl"),
    "kubectl-counters-0.2.0.tar.gz",
    False,
)


@pytest.mark.parametrize(
    ("version", "name", "words"),
    [
        ("", "h.example/a", "no VERSION is given"),
        ("0.2.0", "", "no REGISTRY is given"),
        ("", "", "no VERSION and no REGISTRY is given"),
        ("v0.2.0", "h.example/a", "VERSION=0.2.0, without the v"),
        ("0.2", "h.example/a", "VERSION is 0.2: no version of a release"),
        ("0.02.0", "h.example/a", "VERSION is 0.02.0"),
        ("0.2.0-rc1", "h.example/a", "as 0.2.0-rc.1"),
        ("0.2.0+build", "h.example/a", "the tag of an image cannot have it"),
        ("latest", "h.example/a", "VERSION is latest"),
        ("0.2.0\n", "h.example/a", "no version of a release"),
        ("0.2.0", "https://h.example/a", "REGISTRY=h.example/a"),
        ("0.2.0", "h.example/a/", "REGISTRY=h.example/a"),
        ("0.2.0", "h.example/Acme", "REGISTRY=h.example/acme"),
        ("0.2.0", "user:secret@h.example/a", "docker login"),
        ("0.2.0", "h.example/a:0.2.0", "the tag is VERSION"),
        ("0.2.0", "acme/counters", "neither a dot nor a port"),
        ("0.2.0", "h.example/a//b", "'' is no part of an image's name"),
        ("0.2.0", "h.example/-a", "'-a' is no part of an image's name"),
        ("0.2.0", "h example/a", "'h example' is no host"),
    ],
)
def test_what_cannot_be_released_is_refused_with_a_remedy(
    version: str, name: str, words: str
) -> None:
    with pytest.raises(Problem, match=re.escape(words)) as caught:
        checked(version, name)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("version", "python"),
    [("0.2.0", "0.2.0"), ("1.0.0-alpha.3", "1.0.0a3"), ("1.0.0-beta.1", "1.0.0b1"),
     ("10.20.30-rc.12", "10.20.30rc12")],
)  # fmt: skip
def test_a_version_is_one_for_images_and_for_wheels(version: str, python: str) -> None:
    assert checked(version, HOST).python_version == python


@pytest.mark.parametrize(
    "name", ["localhost/a", "h.example", "10.0.0.1:5000", "[fd00::1]:5000/a/b"]
)
def test_a_registry_is_a_host_with_or_without_a_path(name: str) -> None:
    assert checked("0.2.0", name).image("node") == f"{name}/node"


def test_an_address_that_is_none_is_refused() -> None:
    assert checked("0.2.0", HOST, "https://example.com/0.2.0/").url == "https://example.com/0.2.0"
    with pytest.raises(Problem, match=r"URL is example\.com"):
        checked("0.2.0", HOST, "example.com")


def texts() -> dict[str, str]:
    """What a release has of manifests."""
    parts = {
        name: (joined.CRD if name == "crds.yaml" else joined.MANIFESTS / name).read_text()
        for name in manifests.PARTS
    }
    installs = {k: manifests.by_digest(v, IDS) for k, v in joined.rendered().items()}
    return installs | manifests.kustomize(parts, IDS, WANTED.registry)


def test_every_image_in_every_manifest_is_one_of_the_release_by_digest() -> None:
    named: set[str] = set()
    for name, text in texts().items():
        assert not manifests.OURS.search(text), name
        for document in yaml.safe_load_all(text):
            if document["kind"] == "Deployment":
                (container,) = document["spec"]["template"]["spec"]["containers"]
                found = [e["value"] for e in container["env"] if e["name"].startswith("RELATED_")]
                assert set(found) | {container["image"]} == set(IDS.values()), name
                named.add(name)
    assert named == {"install.yaml", "install-namespaced.yaml", "operator.yaml"}


def test_nothing_but_the_images_differs_from_the_manifests_of_this_repository() -> None:
    for name, text in joined.rendered().items():
        back = manifests.by_digest(text, IDS)
        for short, image in IDS.items():
            back = back.replace(image, f"countercluster/{short}:dev")
        assert back == text, name


@pytest.mark.parametrize(
    ("text", "images", "words"),
    [
        ("image: countercluster/tools:dev", IDS, "countercluster/tools:dev"),
        ("", {"node": "h/node:0.2.0"}, "h/node:0.2.0 is not named by a digest"),
        ("", {"node": "h/node@sha256:1"}, "not named by a digest"),
    ],
)
def test_an_image_that_nobody_could_pull_is_refused(
    text: str, images: dict[str, str], words: str
) -> None:
    with pytest.raises(Problem, match=re.escape(words)):
        manifests.by_digest(text, images)


CHANGELOG = """# Changelog

Words.

## Unreleased

- new

## [0.2.0] - 2026-12-01

### Added
- two

## 0.1.0

- one

## 0.0.1

"""


def test_notes_are_what_the_changelog_says_of_the_version_else_what_is_unreleased() -> None:
    assert notes.section(CHANGELOG, "0.2.0").text == "### Added\n- two"
    assert notes.section(CHANGELOG, "0.1.0").text == "- one"
    assert notes.section(CHANGELOG, "0.3.0").text == "- new"
    assert notes.section(CHANGELOG, "0.2.0-rc.1").text == "- new"
    both = "## 0.2.0-rc.1\n- first\n## 0.2.0\n- then\n"
    assert notes.section(both, "0.2.0").text == "- then"
    with pytest.raises(Problem, match=r"says nothing below '0\.0\.1'"):
        notes.section(CHANGELOG, "0.0.1")
    with pytest.raises(Problem, match=r"neither a section 0\.4\.0 nor"):
        notes.section("# Changelog\n\n## 0.1.0\n\n- one\n", "0.4.0")


def test_the_notes_name_commit_platforms_and_images_and_the_page_what_to_run() -> None:
    written = notes.notes(CHANGELOG, ABOUT)
    for word in ("# CounterCluster 0.2.0", "c0ffee", "linux/amd64, linux/arm64", *IDS.values()):
        assert word in written
    page, part = ((folder.FILES / name).read_text() for name in ("README.md", "signed.md"))
    unsigned = notes.readme(page, part, ABOUT)
    assert f"--docker-server={HOST} " in unsigned
    assert all(name in unsigned for name in (*ABOUT.wheels, ABOUT.plugin, "Nothing is signed"))
    signed = notes.readme(page, part, ABOUT._replace(signed=True))
    assert IDS["operator"] in signed
    assert "Nothing is signed" not in signed
    assert not re.search(r"@[a-z]+@", unsigned + signed)


def test_the_plugin_archive_depends_on_its_contents_alone_and_krew_can_check_it() -> None:
    files = {"b.whl": b"b", "a.whl": b"a", krew.PROGRAM: b"#!/bin/sh\n"}
    packed = krew.archive(files, 1_700_000_000)
    assert packed == krew.archive(dict(reversed(files.items())), 1_700_000_000)
    assert packed[4:8] == bytes(4), "a time"
    with tarfile.open(fileobj=io.BytesIO(packed)) as inside:
        assert inside.getnames() == sorted(files)
        assert {m.name: oct(m.mode) for m in inside} | {krew.PROGRAM: "0o755"} == {
            "a.whl": "0o644", "b.whl": "0o644", krew.PROGRAM: "0o755",
        }  # fmt: skip
        assert inside.getmember(krew.PROGRAM).mode == 0o755
    template = (folder.FILES / "krew.yaml").read_text()
    document = yaml.safe_load(krew.manifest(template, WANTED, hashlib.sha256(packed).hexdigest()))
    (platform,) = document["spec"]["platforms"]
    assert (document["metadata"]["name"], document["spec"]["version"]) == ("counters", "v0.2.0")
    assert platform["sha256"] == hashlib.sha256(packed).hexdigest()
    assert platform["uri"] == "kubectl-counters-0.2.0.tar.gz"
    assert platform["bin"] == krew.PROGRAM
    there = WANTED._replace(url="https://example.com/0.2.0")
    assert "uri: https://example.com/0.2.0/kubectl-counters-0.2.0.tar.gz" in krew.manifest(
        template, there, ""
    )


@pytest.mark.parametrize("part", [wheels.CLIENT, wheels.PLUGIN])
def test_a_wheel_needs_what_pyproject_says_and_no_more(part: wheels.Part) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    made = tomllib.loads(wheels.described(part, project, WANTED._replace(version="0.2.0-rc.1")))
    assert made["project"]["version"] == "0.2.0rc1"
    needed = list(project["project"]["optional-dependencies"][part.extra])
    if part is wheels.PLUGIN:
        assert made["project"]["scripts"] == project["project"]["scripts"]
        needed.append("countercluster==0.2.0rc1")
    assert made["project"]["dependencies"] == needed
    client = REPOSITORY / "client"
    below = {
        str(f.parent.relative_to(client)).replace("/", ".")
        for f in (client / part.packages[0]).rglob("__init__.py")
    }
    assert set(made["tool"]["setuptools"]["packages"]) == below, "a package is left out"


def test_the_version_of_the_release_is_in_every_package_of_a_copy(tmp_path: Path) -> None:
    for recipe in IMAGES.values():
        for room in {path for path in recipe.sources if "." not in path}:
            file = tmp_path / room / "__init__.py"
            if (REPOSITORY / room / "__init__.py").exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text((REPOSITORY / room / "__init__.py").read_text())
    (tmp_path / "node_image/counter_node").mkdir(exist_ok=True)
    stamped = {str(f.parent.relative_to(tmp_path)) for f in stamp(tmp_path, "0.2.0")}
    assert stamped == {
        "client/countercluster", "node_image/counter_node", "operator/countercluster_operator"
    }  # fmt: skip
    for name in stamped:
        assert '\n__version__ = "0.2.0"\n' in (tmp_path / name / "__init__.py").read_text()


# --- images ---------------------------------------------------------------------------------------

EPOCH = 1_700_000_000


def layer_of(packed: oci.Packed) -> tarfile.TarFile:
    blobs = packed.folder / "blobs" / "sha256"
    manifest = json.loads((blobs / packed.digest.removeprefix("sha256:")).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    assert "history" not in config
    assert config["config"] == {"Env": ["A=1"], "User": "65532:65532", "Labels": {"a": "b"}}
    assert config["created"] == "2023-11-14T22:13:20Z"
    (layer,) = manifest["layers"]
    return tarfile.open(blobs / layer["digest"][7:], "r:gz")


def test_two_builds_of_the_same_files_are_one_image(tmp_path: Path) -> None:
    packed = [
        oci.pack(
            saved(tmp_path / f"{name}.tar", mtime=mtime, owner=owner),
            tmp_path / name,
            EPOCH,
            {"a": "b"},
        )
        for name, mtime, owner in (("one", EPOCH + 5.25, "root"), ("two", EPOCH + 999, "builder"))
    ]
    assert packed[0].digest == packed[1].digest
    assert packed[0].sbom == SBOM
    assert packed[0].architecture == "arm64-v8"
    with layer_of(packed[0]) as layer:
        assert layer.getnames() == [LIBRARY, "opt/app/old.py", "new", oci.SBOM, "hard"]
        times = {member.name: member.mtime for member in layer}
        assert times.pop(LIBRARY) == 1_000_000_000, "its byte code names that time"
        assert set(times.values()) == {EPOCH}
        assert layer.getmember(LIBRARY).pax_headers == {"SCHILY.xattr.user.kept": "1"}
        hard = layer.getmember("hard")
        assert (hard.type, hard.linkname) == (tarfile.LNKTYPE, LIBRARY)
    other = oci.pack(saved(tmp_path / "x.tar", mtime=EPOCH), tmp_path / "x", EPOCH, {"a": "c"})
    assert other.digest != packed[0].digest, "the labels belong to it"


def test_an_image_without_the_list_of_what_is_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=re.escape(oci.SBOM)):
        oci.pack(saved(tmp_path / "one.tar", sbom=False), tmp_path / "out", EPOCH, {})


def test_the_tags_of_architectures_are_apart_from_those_of_other_versions() -> None:
    tags = ["0.2.0", "0.2.0-arm-v7", "0.2.0-amd64", "0.2.0-rc.1", "0.2.0-rc.1-amd64", "0.2.01-x",
            "0.1.0-amd64", "sha256-0.sig"]  # fmt: skip
    assert registry.architectures(tags, "0.2.0") == ["amd64", "arm-v7"]
    assert registry.architectures(tags, "0.2.0-rc.1") == ["amd64"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("GET https://h/v2/: UNAUTHORIZED: authentication required", "docker login"),
        ("unexpected status code 401 Unauthorized", "docker login"),
        ("DENIED: requested access to the resource is denied", "may not push there"),
        ("tls: failed to verify certificate: x509: unknown authority", "SSL_CERT_FILE"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "is the host"),
        ("something else", ""),
    ],
)
def test_what_a_registry_refused_has_a_remedy(said: str, words: str) -> None:
    assert words in registry.remedy(said)


def test_the_images_of_a_release_are_there_for_the_same_architectures() -> None:
    both, one = Pushed("", ("amd64", "arm64")), Pushed("", ("amd64",))
    assert common({"node": both, "redis": both}) == ["amd64", "arm64"]
    with pytest.raises(Problem, match="the image node is there for amd64, arm64, others"):
        common({"node": both, "redis": one})


def test_a_release_is_made_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kind.release.__main__.REPOSITORY", tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for key in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.setenv(key, f"{EPOCH} +0000")
    git = ("git", "-C", tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.com")
    run(*git, "init", "--quiet")
    (tmp_path / "a").write_text("1")
    run(*git, "add", "a")
    run(*git, "commit", "--quiet", "-m", "first")
    clean = source(uncommitted=False)
    assert clean.epoch == EPOCH
    (tmp_path / "b").write_text("2")
    with pytest.raises(Problem, match="1 files are not committed, b for one"):
        source(uncommitted=False)
    assert source(uncommitted=True).revision == f"{clean.revision}-uncommitted"


def test_a_key_that_is_none_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="there is no such file"):
        signing.check(tmp_path / "cosign.key")
    (tmp_path / "cosign.pub").write_text("-----BEGIN PUBLIC KEY-----\n")
    with pytest.raises(Problem, match="no private key"):
        signing.check(tmp_path / "cosign.pub")
    (tmp_path / "cosign.key").write_text("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    signing.check(tmp_path / "cosign.key")


def test_the_checksums_are_of_every_file_and_sha256sum_takes_them(tmp_path: Path) -> None:
    (tmp_path / "sbom").mkdir()
    (tmp_path / "sbom" / "node.cdx.json").write_text("{}")
    (tmp_path / "a b").write_text("1")
    (tmp_path / folder.SUMS).write_text(folder.sums(tmp_path))
    check: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    command = ["sha256sum", "--check", "--strict", folder.SUMS]
    done = subprocess.run(command, **check)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["a b: OK", "sbom/node.cdx.json: OK"])
    (tmp_path / "a b").write_text("2")
    assert subprocess.run(command, **check).returncode == 1
