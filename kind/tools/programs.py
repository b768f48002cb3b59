"""The programs of Kubernetes' control plane as programs of this machine, for tests that need an API
server and no node.

Where the local cluster is built from source they are there already: one file, called by each name.
Where it was pulled they are copied out of the running control plane. Else they are built."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kind.tools import engine, golang
from kind.tools.settings import CLUSTER, KUBERNETES, cache_root
from kind.tools.shell import Problem
from kind.tools.store import Store, digest

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubeadm", "kubectl")
_ARTEFACT = "programs"
_KEY = digest(KUBERNETES)
_FIND = (
    "for p in /proc/[0-9]*/exe /usr/bin/*; do "
    'if [ "$(basename "$(readlink "$p" 2>/dev/null || echo "$p")")" = "{name}" ]; then exec cat '
    '"$p"; fi; done; exit 1'
)
"""The container's shell finds the file whose name it is: of a running process, or installed."""


def are_here(store: Store) -> bool:
    return _built(store) is not None or store.has(_ARTEFACT, _KEY)


def make(store: Store) -> None:
    """Copies them from the running cluster, or builds them. Raises Problem when neither can be
    done."""
    if not engine.runs():
        golang.kube(store)
        return
    with store.building(_ARTEFACT, _KEY) as folder:
        for program in NAMES:
            _copy(program, folder / program)


def command(name: str) -> tuple[str, ...]:
    """The words that start the program `name`, one of NAMES. Raises Problem where it is not."""
    store = Store(cache_root())
    built = _built(store)
    if built is not None:
        return (str(built), name)
    if store.has(_ARTEFACT, _KEY):
        return (str(store.path(_ARTEFACT, _KEY) / name),)
    raise Problem(f"{name} is not here yet", "python3 kind/local.py programs")


def _built(store: Store) -> Path | None:
    try:
        return golang.kube(store) / "kube" if golang.has_kube(store) else None
    except Problem:  # no Go here
        return None


def _copy(name: str, target: Path) -> None:
    node = f"{CLUSTER}-control-plane"
    with target.open("wb") as file:
        done = subprocess.run(
            ["docker", "exec", node, "sh", "-c", _FIND.format(name=name)],
            stdout=file,
            stderr=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        raise Problem(f"{name} is not found in {node}", "python3 kind/local.py up")
    target.chmod(0o755)
