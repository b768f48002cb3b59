"""The images that this project ships: the node (under two tags, so that a roll can be shown), the
operator, Redis; and one of support tools, which is for the local cluster alone.

Each image is also tagged with the hash of its inputs; where that tag exists, nothing is built.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kind.packaging import pinned
from kind.tools import debian, engine
from kind.tools.settings import (
    HERE,
    NODE_IMAGE,
    NODE_IMAGE_NEXT,
    OPERATOR_IMAGE,
    PULLED_BUILDER,
    PULLED_PYTHON,
    PULLED_REDIS,
    PYTHON_TARGET,
    REDIS_IMAGE,
    REPOSITORY,
    TOOLS_IMAGE,
    wheel_platforms,
)
from kind.tools.shell import run
from kind.tools.store import KEPT_PER_NAME, Store, digest, source_files

NEXT_LABEL = "io.countercluster.build=next"
SBOM = "kind/packaging/sbom"
"""Writes what is in an image into it."""
STRIP = "kind/packaging/strip"
"""Takes out of it what its program does not need."""


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile, the images that it starts from, the sources it copies, and the lock files with
    its dependencies.

    Paths are relative to the repository.
    """

    tag: str
    dockerfile: str
    pulled: Mapping[str, str]
    """The images that it starts from where images can be pulled, by build argument."""
    sources: tuple[str, ...] = ()
    locks: Mapping[str, str] = field(default_factory=dict)
    """The lock files, each by the folder of the context that holds its wheels."""
    target: str = ""
    """The stage that is the image; empty: the last one."""

    @property
    def name(self) -> str:
        return self.tag.split(":")[0]

    def key(self, *base_ids: str) -> str:
        sources = [REPOSITORY / source for source in self.sources if (REPOSITORY / source).exists()]
        wheels = [wheels_key(requirements) for requirements in self.locks.values()]
        return digest(
            *base_ids,
            *wheels,
            REPOSITORY / self.dockerfile,
            REPOSITORY / SBOM,
            REPOSITORY / STRIP,
            self.target,
            *sources,
        )


NODE = Recipe(
    NODE_IMAGE,
    "node_image/Dockerfile",
    {"BASE": PULLED_PYTHON, "BUILDER": PULLED_BUILDER},
    ("node_image/compile.py", "node_image/counter_node", "client/countercluster"),
    {"wheels": "requirements/node.txt", "compile-wheels": "requirements/compile.txt"},
)
OPERATOR = Recipe(
    OPERATOR_IMAGE,
    "operator/Dockerfile",
    {"BASE": PULLED_PYTHON},
    (
        "operator/countercluster_operator",
        *(
            f"node_image/counter_node/{part}"
            for part in ("__init__.py", "compiled.py", "counters", "resp", "script", "security")
        ),
    ),
    {"wheels": "requirements/operator.txt"},
)
REDIS = Recipe(
    REDIS_IMAGE,
    str((HERE / "packaging" / "redis.Dockerfile").relative_to(REPOSITORY)),
    {"BASE": PULLED_REDIS},
)
TOOLS = replace(NODE, tag=TOOLS_IMAGE, target="tools")
"""The node's programs in an image with a shell, for the demonstration and the tests."""
RECIPES = (NODE, OPERATOR, REDIS, TOOLS)


def wheels_key(requirements: str) -> str:
    return digest(REPOSITORY / requirements, PYTHON_TARGET, *wheel_platforms())


def has_wheels(store: Store, requirements: str) -> bool:
    return store.has(f"wheels-{Path(requirements).stem}", wheels_key(requirements))


def wheels(store: Store, requirements: str) -> Path:
    """The folder with every wheel of a lock file, downloaded for the image's Python rather than
    this one."""
    name, key = f"wheels-{Path(requirements).stem}", wheels_key(requirements)
    if not store.has(name, key):
        platforms = [word for tag in wheel_platforms() for word in ("--platform", tag)]
        with store.building(name, key) as folder:
            run(
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                "--dest", folder,
                "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON_TARGET,
                *platforms,
                "--require-hashes", "-r", REPOSITORY / requirements, log=store.log(name),
            )  # fmt: skip
    store.used(name, key)
    return store.path(name, key)


def bases(store: Store, recipe: Recipe, pull: bool) -> dict[str, str]:
    """The images that a recipe's stages start from, by build argument; each is made or pulled where
    the engine does not have it."""
    if not pull:
        ours = {"BASE": debian.BASE, "BUILDER": debian.BUILDER}
        return {argument: ours[argument].image(store) for argument in recipe.pulled}
    return {argument: pinned.pulled(store, image) for argument, image in recipe.pulled.items()}


def make_all(store: Store, pull: bool) -> None:
    """Builds what changed and moves the stable tags to it."""
    for recipe in RECIPES:
        below = bases(store, recipe, pull)
        ids = engine.image_ids(tuple(below.values()))
        keyed = f"{recipe.name}:{recipe.key(*(ids[image] for image in below.values()))}"
        if not engine.has_image(keyed):
            build(store, recipe, below, keyed)
        run("docker", "tag", keyed, recipe.tag)
        if recipe is NODE:
            _tag_next(store, keyed)
        engine.forget_old_tags(keyed, KEPT_PER_NAME)


def build(
    store: Store,
    recipe: Recipe,
    below: Mapping[str, str],
    tag: str,
    *,
    finish: Callable[[Path], None] = lambda context: None,
    fresh: bool = False,
) -> None:
    """`finish` may change the files of the build context. Nothing of the builder's cache is used
    where it is to be fresh."""
    with store.scratch("context") as context:
        stage(
            context,
            recipe,
            {folder: wheels(store, requirements) for folder, requirements in recipe.locks.items()},
        )
        finish(context)
        arguments = [
            word for name, value in below.items() for word in ("--build-arg", f"{name}={value}")
        ]
        arguments += ["--target", recipe.target] if recipe.target else []
        arguments += ["--no-cache"] if fresh else []
        run(
            "docker", "build", *arguments, "--build-arg", "PIP_NO_INDEX=1", "-f",
            context / recipe.dockerfile, "-t", tag, context,
            log=store.log(f"image-{Path(recipe.name).name}"), env=engine.builder_env(),
        )  # fmt: skip


def stage(context: Path, recipe: Recipe, wheel_folders: Mapping[str, Path]) -> None:
    """Lays out a build context like the repository, with only what the image needs, and the wheels
    in their folders.

    File modes are made the same, so that the builder's cache holds in any clone.
    """
    files = [REPOSITORY / name for name in (recipe.dockerfile, SBOM, STRIP, *recipe.locks.values())]
    for source in (REPOSITORY / source for source in recipe.sources):
        if source.is_file():
            files.append(source)
        else:
            (context / source.relative_to(REPOSITORY)).mkdir(parents=True, exist_ok=True)
            files += source_files(source)
    for file in files:
        target = context / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o644)
    for name, folder in wheel_folders.items():
        (context / name).mkdir()
        for wheel in sorted(folder.iterdir()):
            shutil.copyfile(wheel, context / name / wheel.name)


def _tag_next(store: Store, keyed: str) -> None:
    """The same node under another tag and with another image id: what a roll needs to have
    something to roll to."""
    keyed_next = f"{keyed}-next"
    if not engine.has_image(keyed_next):
        with store.scratch("context") as context:
            (context / "Dockerfile").write_text(f"FROM {keyed}\nLABEL {NEXT_LABEL}\n")
            run(
                "docker",
                "build",
                "-t",
                keyed_next,
                context,
                log=store.log("image-node"),
                env=engine.builder_env(),
            )
    run("docker", "tag", keyed_next, NODE_IMAGE_NEXT)
