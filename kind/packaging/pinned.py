"""Images that others made, pulled by digest: what was built from once is what is built from again.

1. kind/packaging/digests.json names the digest of each image, by its name with the tag. It is the
   lock file of base images, as requirements/*.txt are those of distributions: `make pin` writes it.
2. An image that it names is pulled by that digest, and the engine refuses any other content.
3. One that it does not name is pulled by its tag. What came is named by its digest from then on: in
   the log, and in the build, so that all stages of all images start from the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from kind.tools import engine
from kind.tools.progress import say
from kind.tools.settings import HERE
from kind.tools.shell import Problem, run
from kind.tools.store import Store

FILE = HERE / "packaging" / "digests.json"
_DIGEST = "sha256:"


def digests(file: Path = FILE) -> dict[str, str]:
    """By image with its tag. Raises Problem where the file makes no sense."""
    try:
        found = json.loads(file.read_text())
        good = all(
            isinstance(v, str) and v.startswith(_DIGEST) and len(v) == len(_DIGEST) + 64
            for v in found.values()
        )
    except (OSError, ValueError, AttributeError) as error:
        raise Problem(f"{file} cannot be read: {error}", "make pin") from error
    if not good:
        raise Problem(f"{file} has something that is no digest (sha256:…)", "make pin")
    return dict(found)


def pulled(store: Store, image: str) -> str:
    """The image by its digest; fetched first where the engine does not have it. Raises Problem."""
    known = digests().get(image)
    wanted = f"{image}@{known}" if known else image
    if not engine.has_image(wanted):
        run("docker", "pull", wanted, log=store.log("docker-pull"))
    if known:
        return wanted
    came = _digest(image)
    if came:
        say(
            f"{image} is pulled by its tag, which may be another image tomorrow: {came}; make "
            f"pin writes it down"
        )
    return f"{image}@{came}" if came else image  # one that was only ever made here has no digest


def pin(store: Store, images: Iterable[str], file: Path = FILE) -> Mapping[str, str]:
    """What the tags stand for now, written down."""
    found = {}
    for image in sorted(set(images)):
        run("docker", "pull", image, log=store.log("docker-pull"))
        found[image] = _digest(image)
        if not found[image]:
            raise Problem(
                f"{image} has no digest", "it was made here; remove it, so that it is pulled"
            )
    file.write_text(json.dumps(found, indent=2) + "\n")
    return found


def _digest(image: str) -> str:
    """Of an image that the engine has; empty for one that never was in a registry."""
    found = json.loads(run("docker", "image", "inspect", image))[0].get("RepoDigests") or []
    name = image.rpartition(":")[0].rpartition("/")[2]
    ours = [
        word.rpartition("@")[2]
        for word in found
        if word.rpartition("@")[0].rpartition("/")[2] == name
    ]
    return ours[0] if ours else ""
