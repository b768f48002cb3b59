"""An archive in S3, or in what speaks its protocol. The client is obstore's.

`create` is a PUT with `If-None-Match: *`. The client repeats some requests by itself, so that
"exists already" may be one's own write (stores.py, rule 2). A 409, with which S3 answers a race,
comes out as "exists" as well.

Every call ends after `timeout_s` for each try, and after a few tries. The client's own defaults are
minutes long.

Credentials come from the folder of a Secret (`access_key_id`, `secret_access_key`, and perhaps
`session_token`, one file each), which is read again every minute, so that they can be changed under
way; without a folder from where the client finds them: the environment, a web identity token
(workload identity), or the machine.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store as Client

from counter_node.archive.stores import AbsentError, ExistsError, RefusedError, StoreError

TIMEOUT_S: Final = 30.0
TRIES: Final = 3
_CREDENTIALS_S: Final = 60
_CONNECTIONS: Final = "4"
_LISTED: Final = 1000


class S3Settings(msgspec.Struct, frozen=True):
    """`endpoint`: empty for AWS itself. `path_style`: the bucket in the path, as most other servers
    want it, rather than in the host's name."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    path_style: bool = False
    ca_file: str = ""
    credentials: str = ""
    timeout_s: float = TIMEOUT_S


def settings_of(url: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no address of an archive; s3://bucket/prefix is one")
    return parts.netloc, parts.path.strip("/")


class S3Store:
    def __init__(self, settings: S3Settings) -> None:
        s = settings
        self.where = f"s3://{s.bucket}/{s.prefix}" + (f" at {s.endpoint}" if s.endpoint else "")
        options: dict[str, Any] = {
            "timeout": f"{s.timeout_s}s",
            "connect_timeout": f"{min(s.timeout_s, 5)}s",
            "pool_max_idle_per_host": _CONNECTIONS,
            "allow_http": s.endpoint.startswith("http://"),
        }
        if s.ca_file:
            options["root_certificate"] = Path(s.ca_file).read_bytes()
        config: dict[str, Any] = {
            "region": s.region,
            "virtual_hosted_style_request": not s.path_style,
            "disable_bulk_delete": True,  # not every server knows it
        }
        if s.endpoint:
            config["endpoint"] = s.endpoint
        folder = Path(s.credentials)
        self._client: Any = Client(
            s.bucket,
            prefix=s.prefix or None,
            config=config,  # type: ignore[arg-type,unused-ignore]
            client_options=options,  # type: ignore[arg-type,unused-ignore]
            retry_config={
                "max_retries": TRIES - 1,
                "retry_timeout": datetime.timedelta(seconds=s.timeout_s * TRIES),
            },
            credential_provider=(lambda: _credentials(folder)) if s.credentials else None,
        )

    def create(self, name: str, data: bytes) -> None:
        with self._errors(f"cannot create {name}"):
            obstore.put(self._client, name, data, mode="create", use_multipart=False)

    def get(self, name: str) -> bytes:
        with self._errors(f"cannot read {name}"):
            return bytes(obstore.get(self._client, name).bytes())

    def list(self, under: str = "") -> Iterator[tuple[str, int]]:
        with self._errors("cannot be listed"):
            listing = obstore.list(self._client, under or None, chunk_size=_LISTED)
            for chunk in listing:
                for found in chunk:
                    yield found["path"], found["size"]

    def delete(self, name: str) -> None:
        with contextlib.suppress(AbsentError), self._errors(f"cannot delete {name}"):
            obstore.delete(self._client, name)

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise ExistsError(f"{self.where}: {what}: it exists already") from error
        except FileNotFoundError as error:
            raise AbsentError(
                f"{self.where}: {what}: the object or the bucket is not there"
            ) from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise RefusedError(
                f"{self.where}: {what}: {_first_line(error)}. {_remedy(error)}"
            ) from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{self.where}: {what}: {_first_line(error)}") from error


def _credentials(folder: Path) -> Any:
    def value(name: str) -> str:
        return (folder / name).read_text().strip()

    token = value("session_token") if (folder / "session_token").exists() else None
    now = datetime.datetime.now(datetime.UTC)
    return {
        "access_key_id": value("access_key_id"),
        "secret_access_key": value("secret_access_key"),
        "token": token or None,
        "expires_at": now + datetime.timedelta(seconds=_CREDENTIALS_S),
    }


def _first_line(error: Exception) -> str:
    """What the client says is many lines long: its own state follows the first ones."""
    return str(error).split("\n\nDebug source")[0].strip().replace("\n", " ")[:500]


def _remedy(error: Exception) -> str:
    if "RequestTimeTooSkewed" in str(error):
        return "The clock of this machine is more than 15 minutes wrong; set it right"
    return "Check the credentials and their rights: put, get, list and delete in this bucket"
