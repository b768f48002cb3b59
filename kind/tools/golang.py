"""The programs that are built from Go modules: Kubernetes, containerd, the volume provisioner,
kind, what judges manifests, what pushes and signs releases, and the S3 server of the tests."""

from __future__ import annotations

import os
from pathlib import Path

from kind.tools import host
from kind.tools.settings import (
    CONTAINERD,
    COSIGN,
    CRANE,
    HERE,
    KIND,
    KREW,
    KUBE_SCORE,
    KUBECONFORM,
    KUBERNETES,
    LOCAL_PATH_PROVISIONER,
    METRICS_SERVER,
    VERSITYGW,
)
from kind.tools.shell import run
from kind.tools.store import Store, digest

NODE_SOURCES = HERE / "node"
_FLAGS = "-s -w"

INSTALLED = {
    "containerd": tuple(
        f"github.com/containerd/containerd/v2/cmd/{program}@{CONTAINERD}"
        for program in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
    "provisioner": (f"github.com/rancher/local-path-provisioner@{LOCAL_PATH_PROVISIONER}",),
    "metrics": (f"sigs.k8s.io/metrics-server/cmd/metrics-server@{METRICS_SERVER}",),
    "checks": (
        f"github.com/yannh/kubeconform/cmd/kubeconform@{KUBECONFORM}",
        f"github.com/zegl/kube-score/cmd/kube-score@{KUBE_SCORE}",
    ),
    "kind": (f"sigs.k8s.io/kind@{KIND}",),
    "s3": (f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}",),
    "crane": (f"github.com/google/go-containerregistry/cmd/crane@{CRANE}",),
    "krew": tuple(
        f"sigs.k8s.io/krew/cmd/{program}@{KREW}" for program in ("krew", "validate-krew-manifest")
    ),
    "cosign": (f"github.com/sigstore/cosign/v2/cmd/cosign@{COSIGN}",),
}


def kube_flags() -> str:
    """Linker flags that tell Kubernetes its version; without them kubeadm refuses its own
    kubelet."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {
        "gitVersion": KUBERNETES,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": "2026-11-01T00:00:00Z",
    }
    return " ".join(
        [
            _FLAGS,
            *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items()),
        ]
    )


def go_files() -> list[Path]:
    return [*sorted(NODE_SOURCES.glob("*.go")), NODE_SOURCES / "go.mod", NODE_SOURCES / "go.sum"]


def kube_key() -> str:
    return digest(host.checked_go(), kube_flags(), *go_files())


def installed_key(name: str) -> str:
    return digest(host.checked_go(), _FLAGS, *INSTALLED[name])


def has_kube(store: Store) -> bool:
    return store.has("kube", kube_key())


def has_installed(store: Store, name: str) -> bool:
    return store.has(name, installed_key(name))


def kube(store: Store) -> Path:
    """The folder with `kube`, which is every Kubernetes program, etcd and CoreDNS by the name it is
    called with."""
    key = kube_key()
    if not store.has("kube", key):
        with store.building("kube", key) as folder:
            run(
                "go", "build", "-trimpath", "-o", folder / "kube", "-ldflags", kube_flags(), ".",
                cwd=NODE_SOURCES, env=_go_env(), log=store.log("go-kube"), nice=True,
            )  # fmt: skip
    store.used("kube", key)
    return store.path("kube", key)


def installed(store: Store, name: str) -> Path:
    """The folder with the programs of one entry of INSTALLED."""
    key = installed_key(name)
    if not store.has(name, key):
        with store.building(name, key) as folder:
            for module in INSTALLED[name]:
                run(
                    "go", "install", "-trimpath", "-ldflags", _FLAGS, module,
                    cwd=folder, env={**_go_env(), "GOBIN": str(folder)},
                    log=store.log(f"go-{name}"), nice=True,
                )  # fmt: skip
    store.used(name, key)
    return store.path(name, key)


def _go_env() -> dict[str, str]:
    """A build that does not depend on this shell's Go settings, except where modules come from and
    are kept."""
    return {
        "CGO_ENABLED": "0",
        "GOFLAGS": "",
        "GOOS": "",
        "GOARCH": "",
        "GOWORK": "off",
        "PATH": os.environ["PATH"],
    }
