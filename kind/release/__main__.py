"""`make release`: builds the images, pushes them, and writes dist/VERSION, from which a stranger
installs.

1. What is asked for is checked, before anything is built: version, registry, key, and that the
   sources are those of a commit.
2. The images are built from the Dockerfiles that the local cluster uses, with VERSION in them, and
   packed again (oci.py): the same commit on the same bases gives the same digests.
3. They are pushed (registry.py). An engine builds for its own architecture; the same command on a
   machine of another one adds that to the version.
4. Manifests, wheels, plugin, lists of what is in the images, notes and checksums are written, and
   signed where there is a key.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kind import plan
from kind.packaging import apps
from kind.packaging.apps import Recipe
from kind.release import folder, krew, oci, signing, wheels
from kind.release.notes import About, section
from kind.release.oci import Packed
from kind.release.registry import REVISION, Pushed, Registry
from kind.release.stamp import stamp
from kind.release.wanted import Wanted, checked
from kind.tools import engine, golang
from kind.tools.progress import say
from kind.tools.settings import REPOSITORY, cache_root
from kind.tools.shell import Problem, run
from kind.tools.store import Store, digest

IMAGES: Mapping[str, Recipe] = {
    "node": apps.NODE,
    "operator": apps.OPERATOR,
    "redis": apps.REDIS,
}
_LABEL = "org.opencontainers.image"
_UNCOMMITTED = "-uncommitted"


class Source(NamedTuple):
    """The commit that is released."""

    revision: str
    epoch: int
    """Its time; nothing in a release is newer."""


def source(uncommitted: bool) -> Source:
    """Raises Problem where the sources are those of no commit."""
    git = ("git", "-C", REPOSITORY)
    revision = run(*git, "rev-parse", "HEAD").strip()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or run(*git, "log", "-1", "--format=%ct"))
    changed = run(*git, "status", "--porcelain").splitlines()
    if not changed:
        return Source(revision, epoch)
    if not uncommitted:
        raise Problem(
            f"{len(changed)} files are not committed, {changed[0][3:]} for one: nobody could build "
            f"this release again",
            "commit or stash them; --uncommitted for a trial",
        )
    return Source(revision + _UNCOMMITTED, epoch)


def labels(wanted: Wanted, name: str, commit: Source) -> dict[str, str]:
    return {
        f"{_LABEL}.title": f"countercluster {name}",
        f"{_LABEL}.version": wanted.version,
        f"{_LABEL}.created": oci.moment(commit.epoch),
        f"{_LABEL}.licenses": "Apache-2.0",
        REVISION: commit.revision,
    }


def packed(
    store: Store, work: Path, name: str, wanted: Wanted, commit: Source, *, pull: bool, fresh: bool
) -> Packed:
    """One image, built and packed. Raises Problem."""
    recipe = IMAGES[name]
    below = apps.bases(store, recipe, pull)
    ids = engine.image_ids(tuple(below.values()))
    key = digest(recipe.key(*(ids[image] for image in below.values())), wanted.version)
    tag = f"{recipe.name}-release:{key}"
    if fresh or not engine.has_image(tag):
        apps.build(
            store, recipe, below, tag, fresh=fresh, finish=lambda tree: _stamp(tree, wanted.version)
        )
    saved = work / f"{name}.tar"
    run("docker", "save", "-o", saved, tag)
    engine.forget_old_tags(tag, 1)
    try:
        return oci.pack(saved, work / name, commit.epoch, labels(wanted, name, commit))
    finally:
        saved.unlink()


def _stamp(tree: Path, version: str) -> None:
    stamp(tree, version)


def pushed(
    store: Store, work: Path, wanted: Wanted, commit: Source, *, fresh: bool
) -> tuple[dict[str, Pushed], dict[str, bytes]]:
    """Every image in the registry, and the list of what is in it, by short name."""
    registry = Registry(golang.installed(store, "crane") / "crane")
    registry.reach(wanted.image("node"))
    pull = plan.lay_ground(store).pull
    there, sboms = {}, {}
    for name in IMAGES:
        say(f"-> image {name}")
        image = packed(store, work, name, wanted, commit, pull=pull, fresh=fresh)
        repository = wanted.image(name)
        there[name] = registry.push(image, repository, wanted.version, commit.revision)
        sboms[name] = image.sbom
        say(f"ok {repository}@{there[name].digest}")
    return there, sboms


def release(
    store: Store, wanted: Wanted, place: Path, key: Path | None, options: argparse.Namespace
) -> None:
    """Raises Problem."""
    commit = source(options.uncommitted)
    said = section((REPOSITORY / "CHANGELOG.md").read_text(), wanted.version)
    if not said.heading.strip("[").startswith(wanted.version):
        say(f"CHANGELOG.md has no section {wanted.version}: the notes are of {said.heading!r}")
    with store.scratch("release") as work, tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / wanted.version
        out.mkdir()
        if key:
            cosign = golang.installed(store, "cosign") / "cosign"
            (out / signing.PUBLIC).write_text(signing.public_key(cosign, key))
        there, sboms = pushed(store, work, wanted, commit, fresh=options.fresh)
        made = wheels.build(wanted, work, out, commit.epoch, store.log("release-wheels"))
        platforms = tuple(f"linux/{name}" for name in common(there))
        about = About(
            wanted,
            commit.revision,
            oci.moment(commit.epoch)[:10],
            {name: f"{wanted.image(name)}@{image.digest}" for name, image in there.items()},
            platforms,
            (made[0].name, made[1].name),
            krew.archive_name(wanted),
            key is not None,
        )
        folder.write(out, about, sboms, commit.epoch)
        (out / folder.SUMS).write_text(folder.sums(out))
        if key:
            signing.sign(cosign, key, about.images.values(), out)
        folder.move(out, place / wanted.version)
    say(f"\n{place / wanted.version} is the release; its README.md says how it is installed")
    if len(platforms) == 1:
        say(
            f"it is for {platforms[0]} alone: this engine builds for no other. The same command on "
            f"a machine of another architecture adds that one, and writes the folder for both"
        )


def common(there: Mapping[str, Pushed]) -> list[str]:
    """The architectures that every image is there for. Raises Problem where they differ."""
    found = {name: set(image.architectures) for name, image in there.items()}
    in_all = set.intersection(*found.values())
    for name, architectures in found.items():
        if architectures != in_all:
            raise Problem(
                f"the image {name} is there for {', '.join(sorted(architectures))}, others for "
                f"{', '.join(sorted(in_all))} alone",
                "a push to the registry ended half-way on the other machine: repeat it there",
            )
    return sorted(in_all)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="kind.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", default="", help="of the release, as 0.2.0")
    parser.add_argument("--registry", default="", help="host/path, where the images go")
    parser.add_argument("--url", default="", help="where the folder will be published, for krew")
    parser.add_argument("--key", default="", help="a private key of cosign's, to sign with")
    parser.add_argument("--into", type=Path, default=REPOSITORY / "dist", help="for the folder")
    parser.add_argument("--fresh", action="store_true", help="build without the engine's cache")
    parser.add_argument("--uncommitted", action="store_true", help="a trial with changed files")
    options = parser.parse_args(arguments)
    try:
        wanted = checked(options.version, options.registry, options.url)
        key = Path(options.key) if options.key else None
        if key:
            signing.check(key)
        store = Store(cache_root())
        with store.exclusive():
            release(store, wanted, options.into, key, options)
    except Problem as problem:
        say(f"\nerror: {problem}")
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted; nothing was written to dist")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
