"""Root filesystems of Debian, made by debootstrap, kept as tar files in the cache.

debootstrap takes the main archive alone, whose packages are those of the last point release. So
what the archive of security updates has by then is installed as well, by this machine's apt: where
this machine uses that archive, else the log says that it does not. A root that is kept stays as it
is; `make scan` tells what came since, and `make clean` has all made again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kind.tools import engine, host
from kind.tools.settings import (
    BASE_PACKAGES,
    BASE_SUITE,
    BUILDER_PACKAGES,
    NODE_PACKAGES,
    NODE_SUITE,
)
from kind.tools.shell import run
from kind.tools.store import Store, digest

# What a container never reads. Licences (usr/share/doc/*/copyright) stay, as Debian asks.
LEFT_OUT = (
    "./usr/share/man/*", "./usr/share/locale/*", "./usr/share/info/*",
    "./usr/share/doc/*/changelog*",
    "./var/lib/apt/lists/*", "./var/cache/apt/*", "./var/cache/debconf/*", "./var/log/*",
    "./usr/share/i18n/*",
    "./usr/lib/x86_64-linux-gnu/gconv/*", "./usr/lib/aarch64-linux-gnu/gconv/*", "./dev/*",
    "./proc/*", "./sys/*",
)  # fmt: skip
IMPORT_FORM = "2"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Debian:
    """A minimal Debian with some packages more, as a tar file and as an image."""

    name: str
    suite: str
    packages: tuple[str, ...]

    def key(self) -> str:
        return digest(self.suite, *self.packages, *LEFT_OUT, IMPORT_FORM)

    def tag(self) -> str:
        return f"countercluster/{self.name}:{self.key()}"

    def is_made(self, store: Store) -> bool:
        return store.has(self.name, self.key())

    def make(self, store: Store) -> Path:
        """The tar file, which is made first where it is not there."""
        key = self.key()
        if not store.has(self.name, key):
            mirror = host.debian_mirror(host.apt_sources())
            with (
                store.scratch(f"{self.name}-root") as root,
                store.building(self.name, key) as folder,
            ):
                run(
                    "debootstrap", "--variant=minbase", f"--include={','.join(self.packages)}",
                    self.suite, root, mirror,
                    log=store.log(f"debootstrap-{self.name}"), nice=True,
                )  # fmt: skip
                self._update(root, store.log(f"debootstrap-{self.name}"))
                excludes = [f"--exclude={pattern}" for pattern in LEFT_OUT]
                run(
                    "tar",
                    "-C",
                    root,
                    *excludes,
                    "--one-file-system",
                    "-cf",
                    folder / "root.tar",
                    ".",
                )
        store.used(self.name, key)
        return store.path(self.name, key) / "root.tar"

    def _update(self, root: Path, log: Path) -> None:
        archive = host.debian_security(host.apt_sources())
        if archive is None:
            with log.open("a") as file:
                file.write("no archive of security updates in apt's sources on this machine\n")
            return
        sources = root / "var" / "lib" / "apt" / "security.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {archive} {self.suite}-security main\n")
        options = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::State": root / "var" / "lib" / "apt",
            "Dir::State::status": root / "var" / "lib" / "dpkg" / "status",
            "Dir::Cache": root / "var" / "cache" / "apt",
            "DPkg::Chroot-Directory": root,
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", *(word for name in options for word in ("-o", f"{name}={options[name]}"))]
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (("update",), ("-y", "--no-install-recommends", "dist-upgrade")):
            run(*apt, *words, log=log, env=quiet, nice=True)
        sources.unlink()

    def image(self, store: Store) -> str:
        """The image's tag, imported first where the engine does not have it."""
        tar = self.make(store)
        if not engine.has_image(self.tag()):
            run("docker", "import", "--change", f"ENV PATH={PATH}", tar, self.tag())
        return self.tag()


NODE = Debian("debian-node", NODE_SUITE, NODE_PACKAGES)
BASE = Debian("debian-base", BASE_SUITE, BASE_PACKAGES)
BUILDER = Debian("debian-builder", BASE_SUITE, BUILDER_PACKAGES)
