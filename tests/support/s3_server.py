"""A real S3 server on loopback (versitygw): it keeps each object as a file of its own. Started by
the test and ended by it, by pid."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from counter_node.archive.s3_store import S3Settings, S3Store
from counter_node.ports import free_ports

from kind.tools import golang
from kind.tools.settings import cache_root
from kind.tools.store import Store
from tests.support.begun import whole

BUCKET = "archive"
ACCESS, SECRET = "an-access-key", "a-secret-key"
START_S = 60.0


def program() -> Path:
    store = Store(cache_root())
    assert golang.has_installed(store, "s3"), "python3 kind/local.py s3"
    return golang.installed(store, "s3") / "versitygw"


class S3Server:
    """`certificate`, `key`: files, for TLS."""

    def __init__(self, root: Path, certificate: str = "", key: str = "") -> None:
        self.root = root / "s3"
        (self.root / BUCKET).mkdir(parents=True)
        (self.port,) = free_ports(1)
        self.endpoint = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._tls = ["--cert", certificate, "--key", key] if certificate else []
        self._log = root / "s3.log"
        self.credentials = root / "credentials"
        self.credentials.mkdir()
        self.give(ACCESS, SECRET)
        self._process: subprocess.Popen[bytes] | None = None

    def give(self, access: str, secret: str) -> None:
        """The Secret that clients read."""
        (self.credentials / "access_key_id").write_text(access)
        (self.credentials / "secret_access_key").write_text(secret + "\n")

    def __enter__(self) -> Self:
        environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
        command = [program(), "--port", f"127.0.0.1:{self.port}", *self._tls]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "posix", self.root], env=environment, stdout=log, stderr=log
            )
        end = time.monotonic() + START_S
        with whole(self.__exit__):
            while not self._answers():
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < end, f"no S3 server after {START_S} s"
                time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def store(self, prefix: str = "clicks", **settings: Any) -> S3Store:
        found = {
            "endpoint": self.endpoint,
            "path_style": True,
            "credentials": str(self.credentials),
            "timeout_s": 10.0,
            **settings,
        }
        return S3Store(S3Settings(BUCKET, prefix, **found))

    def options(self, prefix: str) -> list[str]:
        """For the archive's program."""
        return [
            *("--archive", f"s3://{BUCKET}/{prefix}", "--endpoint", self.endpoint),
            *("--path-style", "--credentials", str(self.credentials), "--timeout", "10"),
        ]
