"""The steps from a bare machine to a running cluster with this project's images. Seconds are
measured on 2 cores, cold."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kind import cluster, nodeimage, state
from kind.packaging import apps
from kind.tools import debian, engine, golang, host
from kind.tools.progress import Lane, Step, perform, say
from kind.tools.settings import APP_IMAGES, KIND, POD_AND_SERVICE_RANGES, REPOSITORY, bin_folder
from kind.tools.shell import Problem, run
from kind.tools.store import Store, digest

NODE_IMAGE_OVERRIDE = "COUNTERCLUSTER_KIND_NODE_IMAGE"

KUBE = "Kubernetes, etcd, CoreDNS"
BASE_DEBIAN = "Debian for the images"
NODE_DEBIAN = "Debian for the nodes"
BUILDER_DEBIAN = "Debian for compiling"
NODE_IMAGE = "kind's node image"
IMAGES = "images of the project"


@dataclass(frozen=True)
class Ground:
    """What the plan stands on, found out before it is made."""

    store: Store
    pull: bool
    engine_is_fresh: bool
    """The engine was started in this run: nodes of an earlier life cannot be trusted."""


def lay_ground(store: Store) -> Ground:
    """Gets an engine running, installing it if need be, and finds out whether images can be
    pulled."""
    packages = Step(
        "Debian packages",
        Lane.NETWORK,
        10,
        lambda: host.install_packages(store.log("apt")),
        lambda: False,
    )
    if not engine.runs() and host.missing_packages() and sys.platform == "linux":
        perform(packages)
    fresh = _start_engine(store)
    pull = engine.can_pull()
    if not pull:
        if sys.platform != "linux":
            raise Problem(
                "images cannot be pulled, and they can be built only on Linux", "check the network"
            )
        host.checked_go()
        if not engine.has_image(nodeimage.tag()):
            host.check_disk(store.root)
        if host.missing_packages():
            perform(packages)
        say(
            "images cannot be pulled here: they are built from Debian packages, Go modules and "
            "wheels"
        )
    state.update(store.root, pull=pull)
    return Ground(store, pull, fresh)


def _start_engine(store: Store) -> bool:
    if engine.runs():
        return False
    own = engine.Engine(store)
    perform(Step("Docker engine", Lane.ENGINE, 3, lambda: _drop(own.start()), lambda: False))
    return True


def steps(ground: Ground) -> list[Step]:
    """Everything from here to the running cluster; most of it is done already on a warm machine."""
    store = ground.store
    sources = _built_from_source(ground)
    wheels = [
        _wheels(store, requirements)
        for recipe in (apps.NODE, apps.OPERATOR)
        for requirements in recipe.locks.values()
    ]
    for_images = tuple(
        step.name
        for step in [*sources, *wheels]
        if step.lane is Lane.NETWORK and step.name != NODE_DEBIAN
    )
    for_cluster = tuple(step.name for step in sources if step.name in ("kind", NODE_IMAGE))
    return [
        *sources,
        *wheels,
        Step(
            IMAGES,
            Lane.ENGINE,
            50,
            lambda: apps.make_all(store, ground.pull),
            lambda: False,
            for_images,
        ),
        Step("cluster", Lane.ENGINE, 50, lambda: bring_up(ground), lambda: False, for_cluster),
        Step(
            "images on the nodes",
            Lane.ENGINE,
            20,
            lambda: load_images(store),
            lambda: False,
            ("cluster", IMAGES),
        ),
    ]


def _wheels(store: Store, requirements: str) -> Step:
    return Step(
        f"wheels of {requirements}",
        Lane.NETWORK,
        8,
        lambda: _drop(apps.wheels(store, requirements)),
        lambda: apps.has_wheels(store, requirements),
    )


def _built_from_source(ground: Ground) -> list[Step]:
    """The steps that pulling makes unnecessary, and kind itself where PATH does not have the right
    one."""
    store = ground.store
    found: list[Step] = []

    def installed(name: str, title: str, seconds: int) -> Step:
        return Step(
            title, Lane.CPU, seconds,
            lambda: _drop(golang.installed(store, name)), lambda: golang.has_installed(store, name),
        )  # fmt: skip

    if not ground.pull or not _right_kind_on_path():
        found.append(installed("kind", "kind", 10))
    if ground.pull:
        return found
    kube = Step(
        KUBE, Lane.CPU, 490, lambda: _drop(golang.kube(store)), lambda: golang.has_kube(store)
    )
    containerd = installed("containerd", "containerd", 70)
    provisioner = installed("provisioner", "local-path-provisioner", 70)
    for_images = _debian(store, debian.BASE, BASE_DEBIAN, 40)
    for_nodes = _debian(store, debian.NODE, NODE_DEBIAN, 45)
    # Last: the cluster is made meanwhile, which does not wait for the project's images.
    for_compiling = _debian(store, debian.BUILDER, BUILDER_DEBIAN, 50)
    needs = tuple(step.name for step in (kube, containerd, provisioner, for_nodes))
    has_image = partial(engine.has_image, nodeimage.tag())
    image = Step(
        NODE_IMAGE, Lane.ENGINE, 25, lambda: _drop(nodeimage.make(store)), has_image, needs
    )
    return [kube, containerd, provisioner, *found, for_images, for_nodes, image, for_compiling]


def _debian(store: Store, wanted: debian.Debian, title: str, seconds: int) -> Step:
    return Step(
        title,
        Lane.NETWORK,
        seconds,
        lambda: _drop(wanted.make(store)),
        partial(wanted.is_made, store),
    )


def _drop(_: object) -> None:
    """Steps are made for their effect."""


def _right_kind_on_path() -> bool:
    return shutil.which("kind") is not None and f" {KIND} " in run("kind", "version")


def kind_program(store: Store) -> Path | str:
    """The kind to use: our own build where there is one, else the one on PATH."""
    linked = bin_folder() / "kind"
    if linked.exists():
        return linked
    if found := shutil.which("kind"):
        return found
    raise Problem(
        "kind is not installed",
        f"go install sigs.k8s.io/kind@{KIND}, or run: python3 kind/local.py up",
    )


def link_programs(store: Store, pull: bool) -> None:
    """Puts kind, and in a build from source kubectl, under their plain names into the cache's bin
    folder."""
    wanted: dict[str, Path] = {}
    if not (pull and _right_kind_on_path()):
        wanted["kind"] = golang.installed(store, "kind") / "kind"
    if not pull:
        wanted["kubectl"] = golang.kube(store) / "kube"
    bin_folder().mkdir(parents=True, exist_ok=True)
    for name, target in wanted.items():
        new = bin_folder() / f".{name}.new"
        new.unlink(missing_ok=True)
        new.symlink_to(os.path.relpath(target, bin_folder()))
        new.rename(bin_folder() / name)


def bring_up(ground: Ground) -> None:
    """A healthy cluster of the wanted kind: the present one, the present one healed, or a new
    one."""
    store = ground.store
    link_programs(store, ground.pull)
    _keep_pod_traffic_here(store, ground.pull)
    traits = cluster.Traits(own_node_image=not ground.pull, cgroup_v1=host.has_cgroup_v1())
    config = cluster.effective_config((REPOSITORY / "kind-config.yaml").read_text(), traits)
    image = os.environ.get(NODE_IMAGE_OVERRIDE) or (None if ground.pull else nodeimage.tag())
    wanted = digest(config, image or "", KIND)
    reason = _why_new(ground, wanted, cluster.node_names(config))
    if not reason:
        return
    say(f"   a new cluster, because {reason}")
    state.update(store.root, cluster="")
    path = store.root / "kind-config.yaml"
    path.write_text(config)
    cluster.create(store, kind_program(store), path, image)
    state.update(store.root, cluster=wanted)


def _why_new(ground: Ground, wanted: str, nodes: list[str]) -> str:
    """Why the present cluster cannot be used; empty when it can."""
    made = state.read(ground.store.root).cluster
    if not made:
        return "there is none that was finished"
    if made != wanted:
        return "its configuration or its node image changed"
    if ground.engine_is_fresh:
        return "the engine was started again, and nodes of its earlier life are half alive at best"
    wrong = cluster.heal(nodes)
    return "; ".join(wrong)


def _keep_pod_traffic_here(store: Store, pull: bool) -> None:
    """On a machine whose engine is ours; elsewhere its owner decides what the host routes."""
    if pull or os.geteuid() != 0 or not shutil.which("ip"):
        return
    added = cluster.add_routes(POD_AND_SERVICE_RANGES)
    known = state.read(store.root).routes
    state.update(store.root, routes=tuple(dict.fromkeys([*known, *added])))


def load_images(store: Store) -> None:
    for line in cluster.load(store, APP_IMAGES) or ["every worker has them already"]:
        say(f"   {line}")
