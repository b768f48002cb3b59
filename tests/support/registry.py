"""A real registry of images for tests: Debian's docker-registry as a process, with a password, TLS,
or neither."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from counter_node.ports import free_ports

from tests.support.begun import whole

USER, PASSWORD = "reader", "let-me-pull"
HTPASSWD = f"{USER}:$2a$05$f.rxdgJpLYJLRFKwgFUxjOX768FIerSeb3GBejIQBIFt.ZSp.ZtI.\n"
"""The password as bcrypt, which is what the registry takes."""
START_S = 30


class Certificate(NamedTuple):
    """Paths."""

    chain: Path
    key: Path


class Registry:
    """Runs from `with` to its end."""

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        *,
        password: bool = False,
        certificate: Certificate | None = None,
    ) -> None:
        self.host = f"{host}:{free_ports(1)[0]}"
        self._folder, self._password, self._certificate = folder, password, certificate
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Registry:
        program = shutil.which("docker-registry")
        if not program:
            pytest.skip("Debian's package docker-registry is missing: make packages")
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "config.yml"
        config.write_text(self._configuration())
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", str(config)], stdout=log, stderr=subprocess.STDOUT
            )
        with whole(self.__exit__):
            self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _configuration(self) -> str:
        lines = [
            "version: 0.1",
            "log: {level: warn}",
            f"storage: {{filesystem: {{rootdirectory: {self._folder / 'data'}}}}}",
            f"http: {{addr: '{self.host}'{self._tls()}}}",
        ]
        if self._password:
            (self._folder / "htpasswd").write_text(HTPASSWD)
            lines.append(f"auth: {{htpasswd: {{realm: test, path: {self._folder / 'htpasswd'}}}}}")
        return "\n".join(lines) + "\n"

    def _tls(self) -> str:
        if not self._certificate:
            return ""
        chain, key = self._certificate
        return f", tls: {{certificate: {chain}, key: {key}}}"

    def _wait(self) -> None:
        host, _, port = self.host.rpartition(":")
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._process
            assert self._process.poll() is None, self.said()
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self.said())

    def said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")
