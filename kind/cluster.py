"""The kind cluster itself: its effective configuration, its health, and the images on its nodes."""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kind import transfer
from kind.tools import engine
from kind.tools.settings import CLUSTER, bin_folder, kubeconfig
from kind.tools.shell import Problem, run, tail
from kind.tools.store import Store

WAIT_READY_S = 180
WAIT_HEALED_S = 75
IMAGE_LABEL = "io.countercluster/image-id"
SYSTEM_NAMESPACES = ("kube-system", "local-path-storage")


ALONE = """\
- |
  kind: ClusterConfiguration
  controllerManager:
    extraArgs:
    - {name: enable-hostpath-provisioner, value: "true"}
    - {name: leader-elect, value: "false"}
  scheduler:
    extraArgs:
    - {name: leader-elect, value: "false"}
""".splitlines()
"""There is one of each. With an election they ended whenever a busy machine did not let them renew
it, and the kubelet's pauses kept them away for minutes. kind's own argument stands here again, as a
patch replaces the list."""


@dataclass(frozen=True)
class Traits:
    """What the effective configuration depends on."""

    own_node_image: bool
    cgroup_v1: bool


def effective_config(text: str, traits: Traits) -> str:
    """kind-config.yaml with the kubelet settings that this machine needs; unchanged where it needs
    none."""
    settings: list[str] = []
    if traits.own_node_image:
        # No systemd in the node, and no pod may use Docker's resolver on 127.0.0.11.
        settings += ["cgroupDriver: cgroupfs", "cgroupRoot: /", "resolvConf: /kind/resolv.conf"]
    if traits.cgroup_v1:
        settings.append("failCgroupV1: false")
    if not settings:
        return text
    patch = ["- |", "  kind: KubeletConfiguration", *(f"  {line}" for line in settings)]
    if traits.own_node_image:
        patch += ALONE
    lines = text.rstrip("\n").split("\n")
    if "kubeadmConfigPatches:" in lines:
        at = lines.index("kubeadmConfigPatches:") + 1
        lines[at:at] = patch
    else:
        lines += ["kubeadmConfigPatches:", *patch]
    return "\n".join(lines) + "\n"


def roles(config: str) -> list[str]:
    """The role of each node in a kind configuration, in order."""
    return [
        line.split("role:")[1].strip()
        for line in config.splitlines()
        if line.lstrip("- ").startswith("role:")
    ]


def node_names(config: str) -> list[str]:
    """The names that kind gives to the nodes of a configuration."""
    seen: dict[str, int] = {}
    names = []
    for role in roles(config):
        seen[role] = seen.get(role, 0) + 1
        names.append(f"{CLUSTER}-{role}{seen[role] if seen[role] > 1 else ''}")
    return names


def containers() -> dict[str, str]:
    """The state (running, exited, …) of each container that is a node of the cluster."""
    listed = run(
        "docker",
        "ps",
        "-a",
        "--filter",
        f"label=io.x-k8s.kind.cluster={CLUSTER}",
        "--format",
        "{{.Names}} {{.State}}",
    )
    return dict(line.split() for line in listed.splitlines())


def kubectl() -> str:
    """A kubectl that fits the cluster: the one that came with it, or else the one on PATH."""
    own = bin_folder() / "kubectl"
    found = str(own) if own.exists() else shutil.which("kubectl")
    if not found:
        raise Problem(
            "kubectl is not installed", "install kubectl, or run: python3 kind/local.py up"
        )
    return found


def ask(*words: str, timeout_s: float = 10) -> str:
    return run(kubectl(), "--kubeconfig", kubeconfig(), *words, timeout_s=timeout_s)


def complaints() -> list[str]:
    """What is wrong with the running cluster, in words; empty when it is healthy."""
    try:
        ask("get", "--raw=/readyz")
        nodes = json.loads(ask("get", "nodes", "-o", "json"))
        # A node's condition is up to 40 s old; its kubelet's own word is not.
        silent = [
            name
            for node in nodes["items"]
            if not _kubelet_answers(name := str(node["metadata"]["name"]))
        ]
        pods = [
            json.loads(ask("get", "pods", "-n", space, "-o", "json")) for space in SYSTEM_NAMESPACES
        ]
    except Problem as problem:
        return [f"the API server does not answer: {problem.what.splitlines()[-1]}"]
    said = [f"the kubelet of {name} does not answer" for name in silent]
    return said + complaints_of(nodes["items"], [pod for listed in pods for pod in listed["items"]])


def _kubelet_answers(node: str) -> bool:
    try:
        return (
            ask("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz", timeout_s=5).strip() == "ok"
        )
    except Problem:
        return False


def complaints_of(
    nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]
) -> list[str]:
    """The same from the API's objects: each node and each system pod must be ready."""
    said = [
        f"node {node['metadata']['name']} is not ready" for node in nodes if not _is_ready(node)
    ]
    if not (listed := list(pods)):
        said.append("there are no system pods")
    return said + [
        f"pod {pod['metadata']['name']} is not ready" for pod in listed if not _is_ready(pod)
    ]


def _is_ready(thing: Mapping[str, Any]) -> bool:
    conditions = thing.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def wait_healthy(patience_s: float) -> list[str]:
    """Waits until nothing is wrong. Returns what still is when patience ends."""
    deadline = time.monotonic() + patience_s
    while (wrong := complaints()) and time.monotonic() < deadline:
        time.sleep(1)
    return wrong


def heal(expected: Iterable[str]) -> list[str]:
    """Starts nodes that stand still and gives the cluster time. Returns what is still wrong; then
    it must be made again."""
    found = containers()
    if missing := [name for name in expected if name not in found]:
        return [f"node {name} is gone" for name in missing]
    stopped = [name for name, state in found.items() if state != "running"]
    if not stopped and not complaints():
        return []
    for name in stopped:
        run("docker", "unpause" if found[name] == "paused" else "start", name)
    return wait_healthy(WAIT_HEALED_S)


def create(store: Store, kind: Path | str, config: Path, image: str | None) -> None:
    """Makes the cluster again, whatever there was, and waits until its nodes and system pods are
    ready."""
    log = store.log("kind")
    delete(store, kind)
    command = [
        kind,
        "create",
        "cluster",
        "--name",
        CLUSTER,
        "--config",
        config,
        "--kubeconfig",
        kubeconfig(),
    ]
    run(*command, "--wait", "0s", *(("--image", image) if image else ()), log=log, env=_kind_env())
    _bring_kubectl()
    if wrong := wait_healthy(WAIT_READY_S):
        raise Problem(
            f"the cluster was created but is not healthy after {WAIT_READY_S} s: "
            f"{'; '.join(wrong)}\n{tail(log)}",
            "python3 kind/local.py down && python3 kind/local.py up",
        )


def delete(store: Store, kind: Path | str) -> None:
    command = [kind, "delete", "cluster", "--name", CLUSTER, "--kubeconfig", kubeconfig()]
    run(*command, log=store.log("kind"), env=_kind_env())


def _kind_env() -> dict[str, str]:
    return {"KIND_EXPERIMENTAL_PROVIDER": "docker"}


def _bring_kubectl() -> None:
    """Copies the node's kubectl, which has the cluster's version, to the cache where there is none
    yet."""
    target = bin_folder() / "kubectl"
    if target.exists() or os.uname().sysname != "Linux":
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_suffix(".new")
    run("docker", "cp", "--follow-link", f"{CLUSTER}-control-plane:/usr/bin/kubectl", new)
    new.rename(target)


def workers() -> list[str]:
    """The running nodes that pods are placed on."""
    listed = run(
        "docker", "ps", "--filter", f"label=io.x-k8s.kind.cluster={CLUSTER}",
        "--filter", "label=io.x-k8s.kind.role=worker", "--format", "{{.Names}}",
    )  # fmt: skip
    return sorted(listed.split())


def held_images(listing: str) -> dict[str, str]:
    """From `ctr images ls`: the id under which this program loaded each image, by the image's full
    name."""
    held: dict[str, str] = {}
    for line in listing.splitlines():
        words = line.split()
        for label in words[-1].split(",") if words else []:
            if label.startswith(f"{IMAGE_LABEL}="):
                held[words[0]] = label.removeprefix(f"{IMAGE_LABEL}=")
    return held


def missing_on(node: str, ids: Mapping[str, str]) -> list[str]:
    """Which of these images (tag to id) a node does not have, or has in another version."""
    held = held_images(run("docker", "exec", node, "ctr", "-n", "k8s.io", "images", "ls"))
    return [tag for tag, image_id in ids.items() if held.get(f"docker.io/{tag}") != image_id]


def load(store: Store, tags: tuple[str, ...]) -> list[str]:
    """Brings images to all workers that lack them, all workers at once. Returns what was loaded
    where."""
    ids = engine.image_ids(tags)
    nodes = workers()
    if not nodes:
        raise Problem("the cluster has no running worker", "python3 kind/local.py up")
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        found = zip(nodes, pool.map(partial(missing_on, ids=ids), nodes), strict=True)
        lacking = {node: tags for node, tags in found if tags}
        if not lacking:
            return []
        with store.scratch("load") as folder:
            saved = folder / "images.tar"
            run(
                "docker",
                "save",
                "-o",
                saved,
                *sorted({tag for tags in lacking.values() for tag in tags}),
            )
            archives = _archives(saved, {node: held_blobs(node) for node in lacking})
            list(
                pool.map(
                    lambda node: _import(node, archives[node], {t: ids[t] for t in lacking[node]}),
                    lacking,
                )
            )
    return [f"{node}: {', '.join(tags)}" for node, tags in lacking.items()]


def held_blobs(node: str) -> frozenset[str]:
    return frozenset(
        run("docker", "exec", node, "ctr", "-n", "k8s.io", "content", "ls", "-q").split()
    )


def _archives(saved: Path, held: Mapping[str, frozenset[str]]) -> dict[str, Path]:
    """What to send to each node; nodes that hold the same get the same file."""
    made: dict[frozenset[str], Path] = {}
    for number, blobs in enumerate(dict.fromkeys(held.values())):
        made[blobs] = saved.with_name(f"{number}.tar")
        transfer.thin(saved, blobs, made[blobs])
    return {node: made[blobs] for node, blobs in held.items()}


def _import(node: str, archive: Path, ids: Mapping[str, str]) -> None:
    ctr = ("ctr", "-n", "k8s.io", "images")
    run("docker", "exec", "-i", node, *ctr, "import", "--all-platforms", "-", stdin=archive)
    for tag, image_id in ids.items():
        run("docker", "exec", node, *ctr, "label", f"docker.io/{tag}", f"{IMAGE_LABEL}={image_id}")


def add_routes(ranges: Iterable[str]) -> list[str]:
    """Blackholes for the ranges that only exist inside the cluster. Returns those that were added,
    not found."""
    present = run("ip", "route", "show", "type", "blackhole")
    added = []
    for wanted in ranges:
        if wanted not in present:
            run("ip", "route", "add", "blackhole", wanted)
            added.append(wanted)
    return added


def remove_routes(ranges: Iterable[str]) -> None:
    for added in ranges:
        subprocess.run(["ip", "route", "del", "blackhole", added], check=False, capture_output=True)
