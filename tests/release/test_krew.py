"""krew takes the plugin of a release: its own checker finds nothing, and what it installs runs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kind.tools import golang
from kind.tools.settings import cache_root
from kind.tools.shell import run
from kind.tools.store import Store
from tests.release.conftest import VERSION, Made

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def krew() -> Path:
    store = Store(cache_root())
    with store.exclusive():
        return golang.installed(store, "krew")


def test_krew_installs_the_plugin_from_the_folder_and_it_runs(
    made: Made, krew: Path, tmp_path: Path
) -> None:
    manifest = made.folder / "krew" / "counters.yaml"
    run(krew / "validate-krew-manifest", "-skip-install", "-manifest", manifest)
    plugins = tmp_path / "krew" / "bin"
    environment = {
        "HOME": str(tmp_path),
        "KREW_ROOT": str(tmp_path / "krew"),
        "PATH": os.pathsep.join((str(plugins), str(krew), os.environ["PATH"])),
    }
    (command,) = re.findall(
        r"`kubectl (krew install .*?)`", (made.folder / "README.md").read_text()
    )
    run("sh", "-c", command, cwd=made.folder, env=environment)
    for _ in range(2):  # the first call makes the environment
        said = run("kubectl", "counters", "--version", env=environment, timeout_s=400)
        assert said.strip() == f"kubectl counters {VERSION}"
    kept = tmp_path / ".local/share/kubectl-counters/0.2.0rc7"
    assert (kept / ".whole").exists()
