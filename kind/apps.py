"""The images that this project ships: the node (under two tags, so that a roll can be shown), the operator, Redis.

Each image is also tagged with the hash of its inputs; where that tag exists, nothing is built.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from kind import debian, engine
from kind.settings import (
    HERE,
    NODE_IMAGE,
    NODE_IMAGE_NEXT,
    OPERATOR_IMAGE,
    PULLED_PYTHON,
    PULLED_REDIS,
    PYTHON_TARGET,
    REDIS_IMAGE,
    REPOSITORY,
    wheel_platforms,
)
from kind.shell import run
from kind.store import KEPT_PER_NAME, Store, digest, source_files

NEXT_LABEL = "io.countercluster.build=next"
SBOM = "kind/image/sbom"
"""Writes what is in an image into it."""


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile, the sources it copies, and the lock file with its dependencies; paths relative to the repository."""

    tag: str
    dockerfile: str
    sources: tuple[str, ...] = ()
    requirements: str = ""

    @property
    def name(self) -> str:
        return self.tag.split(":")[0]

    def key(self, base_id: str) -> str:
        sources = [REPOSITORY / source for source in self.sources if (REPOSITORY / source).exists()]
        wheels = (wheels_key(self.requirements),) if self.requirements else ()
        return digest(base_id, *wheels, REPOSITORY / self.dockerfile, REPOSITORY / SBOM, *sources)


NODE = Recipe(NODE_IMAGE, "node_image/Dockerfile", ("node_image/counter_node", "client/countercluster"), "requirements/node.txt")
OPERATOR = Recipe(OPERATOR_IMAGE, "operator/Dockerfile", ("operator/countercluster_operator",), "requirements/operator.txt")
REDIS = Recipe(REDIS_IMAGE, str((HERE / "image" / "redis.Dockerfile").relative_to(REPOSITORY)))
RECIPES = (NODE, OPERATOR, REDIS)


def wheels_key(requirements: str) -> str:
    return digest(REPOSITORY / requirements, PYTHON_TARGET, *wheel_platforms())


def has_wheels(store: Store, requirements: str) -> bool:
    return store.has(f"wheels-{Path(requirements).stem}", wheels_key(requirements))


def wheels(store: Store, requirements: str) -> Path:
    """The folder with every wheel of a lock file, downloaded for the image's Python rather than this one."""
    name, key = f"wheels-{Path(requirements).stem}", wheels_key(requirements)
    if not store.has(name, key):
        platforms = [word for tag in wheel_platforms() for word in ("--platform", tag)]
        with store.building(name, key) as folder:
            run(
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", folder,
                "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON_TARGET, *platforms,
                "--require-hashes", "-r", REPOSITORY / requirements, log=store.log(name),
            )  # fmt: skip
    store.used(name, key)
    return store.path(name, key)


def bases(store: Store, pull: bool) -> dict[str, str]:
    """The base image of each recipe, by its own tag."""
    if not pull:
        base = debian.BASE.image(store)
        return {recipe.tag: base for recipe in RECIPES}
    for image in (PULLED_PYTHON, PULLED_REDIS):
        if not engine.has_image(image):
            run("docker", "pull", image, log=store.log("docker-pull"))
    return {NODE.tag: PULLED_PYTHON, OPERATOR.tag: PULLED_PYTHON, REDIS.tag: PULLED_REDIS}


def make_all(store: Store, pull: bool) -> None:
    """Builds what changed and moves the stable tags to it."""
    for recipe in RECIPES:
        base = bases(store, pull)[recipe.tag]
        keyed = f"{recipe.name}:{recipe.key(engine.image_ids((base,))[base])}"
        if not engine.has_image(keyed):
            _build(store, recipe, base, keyed)
        run("docker", "tag", keyed, recipe.tag)
        if recipe is NODE:
            _tag_next(store, keyed)
        engine.forget_old_tags(keyed, KEPT_PER_NAME)


def _build(store: Store, recipe: Recipe, base: str, keyed: str) -> None:
    with store.scratch("context") as context:
        stage(context, recipe, wheels(store, recipe.requirements) if recipe.requirements else None)
        run(
            "docker", "build", "--build-arg", f"BASE={base}", "--build-arg", "PIP_NO_INDEX=1",
            "-f", context / recipe.dockerfile, "-t", keyed, context,
            log=store.log(f"image-{Path(recipe.name).name}"), env=engine.builder_env(),
        )  # fmt: skip


def stage(context: Path, recipe: Recipe, wheel_folder: Path | None) -> None:
    """Lays out a build context like the repository, with only what the image needs, and the wheels in `wheels/`.

    File modes are made the same, so that the builder's cache holds in any clone.
    """
    files = [REPOSITORY / recipe.dockerfile, REPOSITORY / SBOM]
    for source in recipe.sources:
        (context / source).mkdir(parents=True, exist_ok=True)
        files += source_files(REPOSITORY / source)
    if recipe.requirements:
        files.append(REPOSITORY / recipe.requirements)
    for file in files:
        target = context / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o644)
    if wheel_folder:
        (context / "wheels").mkdir()
        for wheel in sorted(wheel_folder.iterdir()):
            shutil.copyfile(wheel, context / "wheels" / wheel.name)


def _tag_next(store: Store, keyed: str) -> None:
    """The same node under another tag and with another image id: what a roll needs to have something to roll to."""
    keyed_next = f"{keyed}-next"
    if not engine.has_image(keyed_next):
        with store.scratch("context") as context:
            (context / "Dockerfile").write_text(f"FROM {keyed}\nLABEL {NEXT_LABEL}\n")
            run("docker", "build", "-t", keyed_next, context, log=store.log("image-node"), env=engine.builder_env())
    run("docker", "tag", keyed_next, NODE_IMAGE_NEXT)
