"""A release that is signed: cosign verifies images and checksums with the public key of the folder,
and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kind.release import signing
from kind.release.registry import Registry as Crane
from kind.tools import golang
from kind.tools.settings import cache_root
from kind.tools.shell import Problem, run
from kind.tools.store import Store
from tests.release.conftest import VERSION, Made, release
from tests.release.stranger import page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cosign() -> Path:
    store = Store(cache_root())
    with store.exclusive():
        return golang.installed(store, "cosign") / "cosign"


def test_what_is_signed_verifies_with_its_key_alone(
    made: Made, logged_in: Crane, cosign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "secret")
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        run(cosign, "generate-key-pair", cwd=tmp_path / name)
    key = tmp_path / "ours" / "cosign.key"
    signed = made._replace(
        folder=tmp_path / VERSION,
        environment=made.environment | {"COSIGN_PASSWORD": "secret"},
    )
    wrong = signed._replace(environment=signed.environment | {"COSIGN_PASSWORD": "no"})
    refused = release(wrong, "--version", VERSION, "--key", str(key))
    assert refused.returncode == 1
    assert "COSIGN_PASSWORD is the key's password" in refused.stderr
    done = release(signed, "--version", VERSION, "--key", str(key))
    assert done.returncode == 0, done.stderr
    images = (signed.folder / "images.txt").read_text()
    assert images == (made.folder / "images.txt").read_text(), "a signature changes no digest"
    path = {"PATH": f"{cosign.parent}{os.pathsep}{os.environ['PATH']}"}
    _, of_sums, of_image = page(signed.folder, "Check the files")
    for command in (of_sums, of_image):
        run("sh", "-c", command, cwd=signed.folder, env=path)
    for image in images.split():
        words = ("verify", "--insecure-ignore-tlog", image)
        run(cosign, *words, "--key", signed.folder / signing.PUBLIC)
        with pytest.raises(Problem):
            run(cosign, *words, "--key", tmp_path / "theirs" / "cosign.pub")
    (signed.folder / "SHA256SUMS").write_text("")
    with pytest.raises(Problem):
        run("sh", "-c", of_sums, cwd=signed.folder, env=path)
