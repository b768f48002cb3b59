"""What the local cluster is made of: pinned versions, names, places in the cache.

Everything that lasts lies in one folder outside the clone, so that a fresh clone on the same
machine starts warm."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CLUSTER = "countercluster"
KIND = "v0.33.0"
KUBERNETES = "v1.37.2"
ETCD_IMAGE = "etcd:3.7.0-0"
COREDNS_IMAGE = "coredns/coredns:v1.14.6"
PAUSE_IMAGE = "pause:3.10.2"
CONTAINERD = "v2.2.1"
LOCAL_PATH_PROVISIONER = "v0.0.30"
METRICS_SERVER = "v0.7.2"
KUBECONFORM = "v0.8.0"
KUBE_SCORE = "v1.20.0"
VERSITYGW = "v1.8.0"
CRANE = "v0.22.1"
COSIGN = "v2.6.5"
KREW = "v0.4.3"
METRICS_IMAGE = "countercluster/metrics-server:dev"
GO_MINIMUM = (1, 26)
PYTHON_TARGET = "3.13"

NODE_SUITE = "bookworm"
NODE_PACKAGES = (
    "iproute2", "iptables", "conntrack", "ethtool", "socat", "kmod", "mount", "procps", "hostname",
    "runc",
    "containernetworking-plugins", "ca-certificates",
)  # fmt: skip
BASE_SUITE = "trixie"
BASE_PACKAGES = ("python3", "python3-venv", "redis-server", "redis-tools", "ca-certificates")
# What compiles the node's modules for the Python of the base, so of the same suite.
BUILDER_PACKAGES = ("python3", "python3-venv", "libpython3-dev", "gcc", "libc6-dev")

# Every Debian package that this program may need on the host, and for what.
HOST_PACKAGES = {
    "docker.io": "the engine",
    "iptables": "the engine's networks",
    "iproute2": "the routes that keep pod traffic on this machine",
    "ca-certificates": "pulling Go modules and wheels",
    "debootstrap": "the root filesystems of the images",
    "debian-archive-keyring": "checking what debootstrap downloads",
    "busybox-static": "the helper image of the volume provisioner",
    "gcc": "the pause program, and the node's compiled modules in development",
    "libc6-dev": "the same",
}
# What tests call: without it they are skipped, or fail.
TEST_PACKAGES = {
    "docker-registry": "releases are pushed to it, and installed from it",
    "gcc": "the node's compiled modules, the load generator, wrong running clocks",
    "iproute2": "network namespaces whose packets are dropped",
    "libc6-dev": "the same",
    "libfaketime": "wall clocks that are wrong, for real nodes",
    "prometheus": "promtool, which judges alerts and metrics",
    "redis-server": "the cache, and what a node's replies are compared with",
    "redis-tools": "redis-cli and redis-benchmark as stock clients",
}

PULLED_PYTHON = f"python:{PYTHON_TARGET}-slim"
PULLED_BUILDER = f"python:{PYTHON_TARGET}"
PULLED_REDIS = "redis:8"

NODE_IMAGE = "countercluster/node:dev"
NODE_IMAGE_NEXT = "countercluster/node:dev-next"
OPERATOR_IMAGE = "countercluster/operator:dev"
REDIS_IMAGE = "countercluster/redis:dev"
TOOLS_IMAGE = "countercluster/tools:dev"
APP_IMAGES = (NODE_IMAGE, NODE_IMAGE_NEXT, OPERATOR_IMAGE, REDIS_IMAGE, TOOLS_IMAGE)

POD_AND_SERVICE_RANGES = ("10.96.0.0/12", "10.244.0.0/16")

DISK_NEEDED_GIB = 18

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = REPOSITORY / "kind"


def cache_root() -> Path:
    """The folder that holds everything this program keeps: `$XDG_CACHE_HOME/countercluster`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "countercluster"


def kubeconfig() -> Path:
    return cache_root() / "kubeconfig"


def bin_folder() -> Path:
    """Where `kind` and `kubectl` of this cluster are; `local.py env` puts it on PATH."""
    return cache_root() / "bin"


def go_architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(machine, machine)


def wheel_platforms() -> tuple[str, ...]:
    """The platform tags that a Debian 13 accepts, newest first."""
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(go_architecture(), platform.machine())
    return tuple(
        f"{tag}_{arch}"
        for tag in ("manylinux_2_28", "manylinux_2_24", "manylinux_2_17", "manylinux2014")
    )
