"""The registry that a release goes to, by crane: no engine is asked, and digests stay.

Rules:
1. What has been released does not change: a tag of this version with another content is refused.
2. A version has one tag for each architecture (0.2.0-amd64) and one for all (0.2.0), made of those
   that are there: the same command on a machine of another architecture adds that one. All are of
   one commit.
3. Who may push is what `docker login` or `crane auth login` wrote down; nothing of it is read here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from kind.release.oci import Packed
from kind.tools.shell import Problem, run

REVISION = "org.opencontainers.image.revision"
_ARCHITECTURE = re.compile(r"[a-z0-9_]+(?:-v[0-9]+)?")


class Pushed(NamedTuple):
    digest: str
    """Of the index over all architectures."""
    architectures: tuple[str, ...]


class Registry:
    def __init__(self, crane: Path) -> None:
        self.program = crane

    def reach(self, repository: str) -> None:
        """Whether it can be read: asked before anything is built. Raises Problem."""
        self._tags(repository)

    def push(self, packed: Packed, repository: str, version: str, revision: str) -> Pushed:
        """Raises Problem: for what is there already with another content, and in crane's words."""
        own = f"{repository}:{version}-{packed.architecture}"
        there = self._digest(own)
        if there and there != packed.digest:
            raise Problem(
                f"{own} is in the registry already, with another content ({there}; this is "
                f"{packed.digest})",
                "a released version stays as it is: choose another VERSION, or delete that one "
                "from the registry",
            )
        parts = self._parts(repository, version, packed, revision)
        if not there:
            self("push", packed.folder, own)
        named = [word for digest in parts.values() for word in ("-m", f"{repository}@{digest}")]
        self("index", "append", *named, "-t", f"{repository}:{version}")
        digest = self._digest(f"{repository}:{version}")
        if not digest:
            raise Problem(f"{repository}:{version} was pushed and is not there")
        return Pushed(digest, tuple(parts))

    def _parts(
        self, repository: str, version: str, packed: Packed, revision: str
    ) -> dict[str, str]:
        """The digest of each architecture's image, in the order of their names. Raises Problem."""
        found = {packed.architecture: packed.digest}
        for architecture in architectures(self._tags(repository), version):
            if architecture in found:
                continue
            other = f"{repository}:{version}-{architecture}"
            labels = (json.loads(self("config", other)).get("config") or {}).get("Labels") or {}
            if labels.get(REVISION) != revision:
                raise Problem(
                    f"{other} is of another commit, {labels.get(REVISION, 'unknown')}; this is "
                    f"{revision}",
                    "release that commit on this machine as well, or choose another VERSION",
                )
            found[architecture] = self._digest(other)
        return dict(sorted(found.items()))

    def _tags(self, repository: str) -> list[str]:
        try:
            return self("ls", repository).split()
        except Problem as problem:
            if not _is_unknown(problem):
                raise
            return []

    def _digest(self, image: str) -> str:
        """Empty where there is none."""
        try:
            return self("digest", image).strip()
        except Problem as problem:
            if not _is_unknown(problem):
                raise
            return ""

    def __call__(self, *words: str | Path) -> str:
        """Raises Problem, with what to do where that is known."""
        try:
            return run(self.program, *words)
        except Problem as problem:
            raise Problem(problem.what, problem.remedy or remedy(problem.what)) from problem


def _is_unknown(problem: Problem) -> bool:
    return any(word in problem.what for word in ("MANIFEST_UNKNOWN", "NAME_UNKNOWN", "404"))


def architectures(tags: list[str], version: str) -> list[str]:
    """Those that a version has tags of. Pure."""
    ends = (tag.removeprefix(f"{version}-") for tag in tags if tag.startswith(f"{version}-"))
    return sorted(end for end in ends if _ARCHITECTURE.fullmatch(end))


def remedy(said: str) -> str:
    """For what a registry refused, by crane's words. Pure."""
    if "UNAUTHORIZED" in said or "401" in said:
        return "docker login HOST, or crane auth login HOST, as a user that may push there"
    if "DENIED" in said or "403" in said:
        return "this user may not push there: another REGISTRY, or another login"
    if "certificate" in said:
        return "SSL_CERT_FILE names a file with the authority that the registry's certificate is of"
    if "connection refused" in said or "no such host" in said or "i/o timeout" in said:
        return "is the host in REGISTRY right, and does it run?"
    return ""
