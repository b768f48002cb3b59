"""A session with a CounterCluster, or with the Redis in front of it: ping, get, set, get, delete.

In a pod that has the Secret clicks-client mounted:

    python3 examples/redis_session.py --binding /bindings/clicks
    python3 examples/redis_session.py --binding /bindings/clicks --cache

From elsewhere, with what kubectl reads of the same Secret:

    kubectl port-forward service/clicks 6379:6379
    python3 examples/redis_session.py --secret clicks-client --host localhost

    kubectl port-forward service/clicks-cache 6380:6379
    python3 examples/redis_session.py --secret clicks-client --cache --host localhost --port 6380

Against a node each answer is linearizable. The cache is an ordinary Redis: counters appear in it as
plain integers under their own names, so that reads cost the cluster nothing. Applications are its
user `reader`, who may not write: counters are changed on the nodes, and a refusal is part of the
session. Without a Secret (`tls` and `auth` off): --host and --port alone."""

from __future__ import annotations

import argparse
import base64
import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import redis


def from_folder(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def from_kubectl(name: str, namespace: str) -> dict[str, str]:
    where = ["--namespace", namespace] if namespace else []
    found = subprocess.run(
        ["kubectl", *where, "get", "secret", name, "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise SystemExit(f"redis_session.py: {found.stderr.strip()}")
    return {
        key: base64.b64decode(value).decode()
        for key, value in json.loads(found.stdout)["data"].items()
    }


def connection(secret: dict[str, str], *, cache: bool, host: str, port: int) -> dict[str, Any]:
    """Options of redis-py. `host` and `port` are those of a port-forward; the certificates say
    localhost, too."""
    key = "cache-uri" if cache else "uri"
    if secret and key not in secret:
        raise SystemExit(f"redis_session.py: the Secret has no {key}: spec.cache.enabled is false")
    uri = urlsplit(secret.get(key, ""))
    options: dict[str, Any] = {
        "host": host or uri.hostname or "127.0.0.1",
        "port": port or (not host and uri.port) or 6379,
    }
    if uri.password:
        options |= {
            "username": unquote(uri.username or "") or "default",
            "password": unquote(uri.password),
        }
    if uri.scheme == "rediss":
        options |= {
            "ssl": True,
            "ssl_ca_data": secret["ca.crt"],
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }
    return options


def outcome(command: Callable[[], object]) -> object:
    try:
        return command()
    except redis.exceptions.NoPermissionError as error:
        return f"refused: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description="ping, get, set, get, delete")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--binding", type=Path, metavar="FOLDER", help="where the Secret <name>-client is mounted"
    )
    source.add_argument(
        "--secret", metavar="NAME", help="the Secret <name>-client, read by kubectl"
    )
    parser.add_argument("--namespace", default="", help="of the Secret (default: kubectl's own)")
    parser.add_argument("--cache", action="store_true", help="Redis in the place of the nodes")
    parser.add_argument("--host", default="", help="instead of the Secret's address")
    parser.add_argument("--port", type=int, default=0, help="instead of the Secret's port")
    parser.add_argument("--key", default="example:session")
    parser.add_argument("--value", type=int, default=7)
    options = parser.parse_args()

    secret = from_folder(options.binding) if options.binding else {}
    if options.secret:
        secret = from_kubectl(options.secret, options.namespace)
    where = connection(secret, cache=options.cache, host=options.host, port=options.port)
    with redis.Redis(**where, decode_responses=True) as session:
        print(f"ping   {session.ping()}")
        print(f"get    {session.get(options.key)}")
        print(f"set    {outcome(lambda: session.set(options.key, options.value))}")
        print(f"get    {session.get(options.key)}")
        print(f"delete {outcome(lambda: session.delete(options.key))}")


if __name__ == "__main__":
    main()
