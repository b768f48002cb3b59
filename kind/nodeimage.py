"""The node image of kind, built from Debian packages and Go modules where the official one cannot
be pulled.

kubeadm asks for its images by name; they are built here and unpacked into the node's containerd
store beforehand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kind.tools import debian, engine, golang
from kind.tools.settings import (
    COREDNS_IMAGE,
    ETCD_IMAGE,
    HERE,
    KUBERNETES,
    LOCAL_PATH_PROVISIONER,
    PAUSE_IMAGE,
)
from kind.tools.shell import Problem, run
from kind.tools.store import Store, digest

FILES = HERE / "image"
NODE_FILES = (
    "bake",
    "containerd.toml",
    "default-cni.yaml",
    "default-storage.yaml",
    "entrypoint",
    "pause.c",
)
KUBE_NAMES = (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
    "kubeadm", "kubectl",
    "etcd", "coredns", "podnet",
)  # fmt: skip
BAKER = "countercluster-bake"
KEPT = 2
FORM = "1"

_FROM_SCRATCH = "FROM scratch\nCOPY root/ /\nENV PATH=/bin\n"


def key() -> str:
    return digest(
        golang.kube_key(),
        golang.installed_key("containerd"),
        golang.installed_key("provisioner"),
        debian.NODE.key(),
        ETCD_IMAGE,
        COREDNS_IMAGE,
        PAUSE_IMAGE,
        LOCAL_PATH_PROVISIONER,
        FORM,
        *(FILES / name for name in NODE_FILES),
    )


def tag() -> str:
    return f"countercluster/kind-node:{key()}"


def make(store: Store) -> str:
    """The tag of the node image, which is built first where the engine does not have it."""
    if engine.has_image(tag()):
        return tag()
    log = store.log("node-image")
    with store.scratch("node-image") as work:
        built = _system_images(store, work, log)
        base = _node_base(store, work, built["kube"], log)
        run("docker", "save", "-o", work / "images.tar", *built.values(), log=log)
        _bake(base, built, work / "images.tar", log)
    for name in (tag(), base, *built.values()):
        engine.forget_old_tags(name, KEPT)
    return tag()


def _system_images(store: Store, work: Path, log: Path) -> dict[str, str]:
    """Builds the images that run inside a node: name to tag."""
    kube = _kube(store, work / "kube", log)
    (work / "coredns").mkdir()
    return {
        "kube": kube,
        "coredns": _build(
            work / "coredns",
            f"countercluster/coredns:{golang.kube_key()}",
            f'FROM {kube}\nENTRYPOINT ["/usr/local/bin/coredns"]\n',
            log,
        ),
        "pause": _pause(work / "pause", log),
        "provisioner": _provisioner(store, work / "provisioner", log),
        "busybox": _busybox(work / "busybox", log),
    }


def _kube(store: Store, work: Path, log: Path) -> str:
    """Every program of Kubernetes, etcd and CoreDNS: one file with many names."""
    programs = work / "root" / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    _place(golang.kube(store) / "kube", programs / "kube")
    for name in KUBE_NAMES:
        (programs / name).symlink_to("kube")
    return _build(
        work,
        f"countercluster/kube:{golang.kube_key()}",
        f"FROM {debian.NODE.image(store)}\nCOPY root/ /\n",
        log,
    )


def _pause(work: Path, log: Path) -> str:
    """The container that holds a pod's namespaces."""
    root = work / "root"
    root.mkdir(parents=True)
    run("gcc", "-static", "-O2", "-s", "-Wall", "-o", root / "pause", FILES / "pause.c", log=log)
    return _build(
        work,
        f"countercluster/pause:{key()}",
        'FROM scratch\nCOPY root/ /\nENTRYPOINT ["/pause"]\n',
        log,
    )


def _provisioner(store: Store, work: Path, log: Path) -> str:
    """What makes volumes."""
    programs = work / "root" / "bin"
    programs.mkdir(parents=True)
    name = "local-path-provisioner"
    _place(golang.installed(store, "provisioner") / name, programs / name)
    return _build(work, f"countercluster/provisioner:{key()}", _FROM_SCRATCH, log)


def _busybox(work: Path, log: Path) -> str:
    """The helper image of the provisioner."""
    programs = work / "root" / "bin"
    programs.mkdir(parents=True)
    program = _static_busybox()
    _place(program, programs / "busybox")
    for applet in run(program, "--list").split():
        if applet != "busybox":
            (programs / applet).symlink_to("busybox")
    tag = f"countercluster/busybox:{key()}"
    return _build(work, tag, f'{_FROM_SCRATCH}CMD ["sh"]\n', log)


def aliases(built: dict[str, str]) -> list[str]:
    """NAME=ALIAS for each name under which kubeadm, the CNI and the storage manifests ask for these
    images."""
    kube = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    wanted = {
        **{f"registry.k8s.io/{name}:{KUBERNETES}": "kube" for name in kube},
        f"registry.k8s.io/{ETCD_IMAGE}": "kube",
        f"registry.k8s.io/{COREDNS_IMAGE}": "coredns",
        f"registry.k8s.io/{PAUSE_IMAGE}": "pause",
        f"kind.local/local-path-provisioner:{LOCAL_PATH_PROVISIONER}": "provisioner",
        "kind.local/busybox:1": "busybox",
    }
    return [f"docker.io/{built[name]}={alias}" for alias, name in wanted.items()]


def _node_base(store: Store, work: Path, kube: str, log: Path) -> str:
    """The node without its images."""
    root = work / "node" / "root"
    for folder in ("usr/local/bin", "etc/containerd", "kind/manifests", "opt/cni"):
        (root / folder).mkdir(parents=True)
    for program in ("containerd", "containerd-shim-runc-v2", "ctr"):
        _place(golang.installed(store, "containerd") / program, root / "usr/local/bin" / program)
    _place(FILES / "entrypoint", root / "usr/local/bin/entrypoint")
    shutil.copyfile(FILES / "containerd.toml", root / "etc/containerd/config.toml")
    for name in ("default-cni.yaml", "default-storage.yaml"):
        shutil.copyfile(FILES / name, root / "kind/manifests" / name)
    (root / "kind/version").write_text(KUBERNETES)
    (root / "opt/cni/bin").symlink_to("/usr/lib/cni")
    dockerfile = f'FROM {kube}\nCOPY root/ /\nENTRYPOINT ["/usr/local/bin/entrypoint"]\n'
    return _build(work / "node", f"countercluster/kind-node-base:{key()}", dockerfile, log)


def _bake(base: str, built: dict[str, str], images: Path, log: Path) -> None:
    run("docker", "rm", "-f", "-v", BAKER, log=log)
    run(
        "docker", "run", "-d", "--name", BAKER, "--privileged", "--network", "none", "--entrypoint",
        "sleep",
        "-v", f"{images}:/images.tar:ro", "-v", f"{FILES / 'bake'}:/bake:ro", base, "900", log=log,
    )  # fmt: skip
    try:
        run("docker", "exec", BAKER, "bash", "/bake", *aliases(built), log=log)
        run(
            "docker",
            "commit",
            "--change",
            'ENTRYPOINT ["/usr/local/bin/entrypoint"]',
            BAKER,
            tag(),
            log=log,
        )
    finally:
        run("docker", "rm", "-f", "-v", BAKER, log=log)


def _build(context: Path, name: str, dockerfile: str, log: Path) -> str:
    (context / "Dockerfile").write_text(dockerfile)
    run("docker", "build", "-t", name, context, log=log, env=engine.CLASSIC_BUILDER)
    return name


def _place(source: Path, target: Path) -> None:
    """A program in a build context: linked where the file system can, else copied; executable by
    all."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    if not os.access(target, os.X_OK):
        target.unlink()
        shutil.copyfile(source, target)
        target.chmod(0o755)


def _static_busybox() -> Path:
    for place in ("/usr/bin/busybox", "/bin/busybox"):
        if Path(place).exists():
            return Path(place)
    raise Problem("busybox is not installed", "apt-get install busybox-static")
