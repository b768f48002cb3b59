"""A stranger: a fresh kind cluster of one machine, a folder with a copy of a release, and nothing
else. Commands are those of the release's README.md, word by word."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from kind import cluster, nodeimage, plan, state
from kind.tools import engine, host
from kind.tools.settings import bin_folder, cache_root
from kind.tools.shell import run
from kind.tools.store import Store
from tests.release.conftest import Made

NAME = "countercluster-stranger"
MACHINE = f"{NAME}-control-plane"
CONFIG = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n"
UP_S, COMMAND_S = 300, 330
_HOSTS = """server = "https://{host}"
[host."https://{host}"]
capabilities = ["pull", "resolve"]
ca = "{folder}/ca.crt"
"""


def page(folder: Path, heading: str) -> list[str]:
    """The commands below a heading of a release's README.md."""
    text = (folder / "README.md").read_text()
    part = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    commands = [line.removeprefix("$ ") for line in part.splitlines() if line.startswith("$ ")]
    assert commands, heading
    return commands


class Stranger:
    def __init__(self, folder: Path, made: Made) -> None:
        self.folder, self._made = folder, made
        self._kubeconfig = folder.parent / "kubeconfig"
        self.environment = {
            "PATH": f"{bin_folder()}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder.parent),
            "KUBECONFIG": str(self._kubeconfig),
            "PIP_CACHE_DIR": str(folder.parent / "pip"),
        }
        for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "HTTPS_PROXY"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def up(self) -> None:
        """The cluster, whose machine knows the authority of the registry, as any cluster's
        administrator would see to, and no image of ours."""
        store = Store(cache_root())
        pull = state.read(store.root).pull
        if pull is None:
            pull = engine.can_pull()
        traits = cluster.Traits(own_node_image=not pull, cgroup_v1=host.has_cgroup_v1())
        config = self.folder.parent / "kind.yaml"
        config.write_text(cluster.effective_config(CONFIG, traits))
        self.down()
        image = () if pull else ("--image", nodeimage.tag())
        run(
            plan.kind_program(store), "create", "cluster", "--name", NAME, "--config", config,
            "--kubeconfig", self._kubeconfig, *image, log=self.folder.parent / "kind.log",
        )  # fmt: skip
        folder = f"/etc/containerd/certs.d/{self._made.registry.host}"
        self._into(f"{folder}/ca.crt", self._made.authority.read_text())
        self._into(
            f"{folder}/hosts.toml", _HOSTS.format(host=self._made.registry.host, folder=folder)
        )

    def down(self) -> None:
        run(
            plan.kind_program(Store(cache_root())), "delete", "cluster", "--name", NAME,
            "--kubeconfig", self._kubeconfig,
        )  # fmt: skip

    def _into(self, path: str, text: str) -> None:
        write = f"mkdir -p {os.path.dirname(path)} && cat >{path}"
        subprocess.run(
            ["docker", "exec", "-i", MACHINE, "sh", "-c", write],
            input=text.encode(), check=True, timeout=60,
        )  # fmt: skip

    def page(self, heading: str, **words: str) -> list[str]:
        """The commands below a heading of README.md, with these words for those there."""
        commands = page(self.folder, heading)
        for old, new in words.items():
            assert any(old in command for command in commands), old
            commands = [command.replace(old, new) for command in commands]
        return commands

    def __call__(self, command: str, *, check: bool = True, **environment: str) -> str:
        """As typed in the folder; both outputs."""
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=self.environment | environment,
            capture_output=True, text=True, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, (
            f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.pods()}"
        )
        return done.stdout + done.stderr

    def pods(self) -> str:
        done = subprocess.run(
            ["kubectl", "get", "pods", "-A", "-o", "wide"], env=self.environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    def wait(self, what: str, seconds: float, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s\n{self.pods()}"
            time.sleep(1)

    def images(self) -> dict[str, str]:
        """Of the pods that are not Kubernetes' own: what its one container is started from."""
        path = "{range .items[*]}{.metadata.namespace}/{.metadata.name} {.spec.containers[*].image}"
        lines = self(f"kubectl get pods -A -o jsonpath=\"{path}{{'\\n'}}{{end}}\"").splitlines()
        pairs = (line.split() for line in lines if line.strip())
        return {pod: image for pod, image in pairs if not re.match("kube-system|local-path", pod)}
