"""The plugin as a user gets it: the wheel of this repository in a fresh environment, found by
kubectl on PATH, against a real API server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from kind.tools import programs
from tests.support.apiserver import ApiServer

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[2]


class Installed:
    def __init__(self, folder: Path, server: ApiServer) -> None:
        self.bin = folder / "venv" / "bin"
        tree = folder / "tree"  # building leaves things beside the sources
        tree.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree)
        for name in ("node_image", "operator", "client"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        venv.create(folder / "venv", with_pip=True)
        pip = [str(self.bin / "pip"), "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(tree)],
            check=True,
            timeout=300,
        )
        wheel = next(folder.glob("countercluster-*.whl"))
        subprocess.run([*pip, "install", f"{wheel}[kubectl]"], check=True, timeout=300)
        self._environment = {
            "PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin", "HOME": str(folder),
            "KUBECONFIG": str(server.kubeconfig), "COLUMNS": "200",
        }  # fmt: skip

    def __call__(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """`kubectl WORD…`."""
        command = [*programs.command("kubectl"), *words]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self._environment,
            cwd=self._environment["HOME"],
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done


@pytest.fixture(scope="module")
def kubectl(server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    server.namespace("shop")
    meta = {"name": "clicks", "namespace": "shop"}
    server.apply(
        {
            "apiVersion": "countercluster.io/v1alpha1",
            "kind": "CounterCluster",
            "metadata": meta,
            "spec": {},
        }
    ).ok()
    return Installed(tmp_path_factory.mktemp("installed"), server)


def test_kubectl_finds_it_and_it_needs_nothing_of_this_tree(kubectl: Installed) -> None:
    assert str(kubectl.bin / "kubectl-counters") in kubectl("plugin", "list").stdout
    shown = kubectl("counters", "--help").stdout
    for word in ("status", "top", "transfer", "report"):
        assert word in shown
    assert Path(sys.executable).parent != kubectl.bin


def test_it_speaks_to_the_cluster_that_kubectl_speaks_to(kubectl: Installed) -> None:
    found = json.loads(kubectl("counters", "-n", "shop", "status", "clicks", "-o", "json").stdout)
    assert (found["name"], found["members"], found["message"]) == (
        "clicks",
        [],
        "the operator has said nothing yet",
    )
    failed = kubectl("counters", "-n", "shop", "status", "absent", code=1)
    assert (
        'CounterCluster absent in namespace shop: counterclusters.countercluster.io "absent" not '
        "found" in failed.stderr
    )


def test_kubectl_completes_commands_options_and_names(kubectl: Installed) -> None:
    def proposals(*words: str) -> list[str]:
        return kubectl("__complete", "counters", *words).stdout.splitlines()

    assert proposals("re") == ["restart", "resume", "report", ":4"]
    assert proposals("-n", "shop", "status", "cl") == ["clicks", ":4"]
    assert proposals("-n", "shop", "status", "x") == [":4"]
    assert "json" in proposals("status", "clicks", "-o", "")
