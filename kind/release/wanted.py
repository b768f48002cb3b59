"""What a release is asked for: its version, where its images go, where its files will be found.
Pure.

Rules:
1. A version is three numbers, or a pre-release of them (-alpha.1, -beta.1, -rc.1): images, wheels
   and krew can all express that.
2. A registry is a host, and a path below it. Nothing is assumed about a host that is not named.
3. What does not fit is refused before anything is built, with the value and a remedy.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kind.tools.shell import Problem

EXAMPLE = "make release VERSION=0.2.0 REGISTRY=registry.example.com/counters"
_NUMBER = r"(?:0|[1-9][0-9]*)"
_VERSION = re.compile(rf"({_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-(alpha|beta|rc)\.({_NUMBER}))?")
_HOST = re.compile(
    r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?|\[[0-9a-f:]+\](?::[0-9]{1,5})?"
)
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_PYTHON = {"alpha": "a", "beta": "b", "rc": "rc"}


class Wanted(NamedTuple):
    """Checked by `checked`."""

    version: str
    registry: str
    url: str
    """Where the folder will be published, without a slash at the end; empty: nowhere that is known
    yet."""

    @property
    def python_version(self) -> str:
        """As wheels write it (PEP 440)."""
        found = _VERSION.fullmatch(self.version)
        assert found is not None
        numbers, kind, count = found.groups()
        return f"{numbers}{_PYTHON[kind]}{count}" if kind else str(numbers)

    def image(self, name: str) -> str:
        """The repository of one image."""
        return f"{self.registry}/{name}"


def checked(version: str, registry: str, url: str = "") -> Wanted:
    """Raises Problem."""
    if not version or not registry:
        given = {"VERSION": version, "REGISTRY": registry}
        raise Problem(f"no {' and no '.join(k for k in given if not given[k])} is given", EXAMPLE)
    _check_version(version)
    _check_registry(registry)
    if url and not re.fullmatch(r"https?://[^\s?#]+", url):
        raise Problem(
            f"URL is {url}: no address of a folder on a web server",
            "URL=https://…, or leave it out",
        )
    return Wanted(version, registry, url.rstrip("/"))


def _check_version(version: str) -> None:
    if _VERSION.fullmatch(version):
        return
    remedy = "three numbers, as 0.2.0, or a pre-release of them, as 0.2.0-rc.1"
    if version.startswith("v") and _VERSION.fullmatch(version[1:]):
        remedy = f"VERSION={version[1:]}, without the v"
    elif "+" in version:
        remedy = "leave out the + and what follows: the tag of an image cannot have it"
    raise Problem(f"VERSION is {version}: no version of a release", remedy)


def _check_registry(registry: str) -> None:
    def refuse(why: str, remedy: str) -> None:
        raise Problem(f"REGISTRY is {registry}: {why}", remedy)

    if "://" in registry:
        refuse("a host and a path are wanted, no address", f"REGISTRY={registry.split('://')[1]}")
    if registry.endswith("/"):
        refuse("a slash is at its end", f"REGISTRY={registry.rstrip('/')}")
    if "@" in registry:
        refuse(
            "an @ is in it",
            "the host and the path alone; for a user and a password: docker login",
        )
    if registry != registry.lower():
        refuse("names of images have no capital letters", f"REGISTRY={registry.lower()}")
    host, *path = registry.split("/")
    if path and ":" in path[-1]:
        refuse(
            "a tag is at its end",
            f"REGISTRY={registry.rpartition(':')[0]}; the tag is VERSION",
        )
    if not _HOST.fullmatch(host):
        refuse(f"{host!r} is no host", EXAMPLE)
    if not ("." in host or ":" in host or host == "localhost"):
        refuse(
            f"{host} has neither a dot nor a port, so engines take it for a path",
            "put the host of the registry in front",
        )
    for part in path:
        if not _PART.fullmatch(part):
            refuse(
                f"{part!r} is no part of an image's name",
                "small letters and digits, with single dots, underscores or hyphens between",
            )
