"""`python -m counter_node.archive`: lists, verifies and prunes an archive, brings a data directory
into it, and makes a data directory of a new cluster from it. Prints JSON.

Exit code 3: something in the archive is not as it must be. 1: it could not be done; why is on
standard error."""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from counter_node import __version__
from counter_node.archive import commands
from counter_node.archive.destination import Destination, keys_from, open_store
from counter_node.archive.reader import Reader
from counter_node.archive.rules.errors import ArchiveError
from counter_node.archive.rules.restoring import AtIndex, AtTime, Moment, Newest
from counter_node.archive.rules.retention import LEAST_WINDOW_MS
from counter_node.settings import SettingsError, address

FAILED: Final = 1
THREADS: Final = 8
"""That read ahead of a restore: the most that one slow store needs (20 ms an object)."""
_UNITS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment(text: str) -> Moment:
    if text == "newest":
        return Newest()
    if text.isdecimal():
        return AtIndex(int(text))
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no moment: 'newest', an index, or a time with its zone, as in "
            f"2026-11-28T12:00:00Z"
        )
    return AtTime(int(at.timestamp() * 1000))


def duration_ms(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time; as in 30d, 12h, 90m, 10s")
    return int(found[1]) * _UNITS[found[2]]


def window_ms(text: str) -> int:
    found = duration_ms(text)
    if found < LEAST_WINDOW_MS:
        raise argparse.ArgumentTypeError(f"{text!r} is too short; 1h is the least")
    return found


def positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def host_and_port(text: str) -> str:
    try:
        address(text)
    except SettingsError:
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port") from None
    return text


def seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.1 <= found <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 86400")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m counter_node.archive", description=__doc__)
    parser.add_argument("--version", action="version", version=f"counter_node {__version__}")
    of = argparse.ArgumentParser(add_help=False)
    group = of.add_argument_group("the archive")
    group.add_argument(
        "--archive", required=True, metavar="URL", help="file:///directory or s3://bucket/prefix"
    )
    group.add_argument("--endpoint", default="", metavar="URL", help="of S3, where it is not AWS")
    group.add_argument("--region", default="us-east-1")
    group.add_argument("--path-style", action="store_true", help="the bucket stands in the path")
    group.add_argument("--ca-file", default="", metavar="PEM", help="the authority of the endpoint")
    group.add_argument(
        "--credentials", default="", metavar="DIR",
        help="files access_key_id and secret_access_key; else the environment or the machine",
    )  # fmt: skip
    group.add_argument("--timeout", type=float, default=30.0, metavar="S", help="of one request")
    group.add_argument(
        "--keys", default="", metavar="DIR", help="a file of 32 bytes for each encryption key"
    )
    group.add_argument(
        "--key", default="", metavar="ID", help="the key that encrypts; else the last by name"
    )
    group.add_argument(
        "--accept-unencrypted", action="store_true",
        help="with keys: believe objects that are not encrypted, from before there were keys",
    )  # fmt: skip
    group.add_argument(
        "--history", default="", metavar="ID", help="else the one that no other comes from"
    )
    commands_ = parser.add_subparsers(required=True, dest="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands_.add_parser(name, help=text, description=text, parents=[of])

    command("list", "print what is in the archive: histories, moments, sizes")
    command("verify", "read everything, restore to each snapshot's moment, and compare")
    _add_writers(command)
    return parser


def _add_writers(command: Any) -> None:
    restore = command("restore", "make the data directory of a new cluster's first node")
    restore.add_argument(
        "--at", type=moment, default=Newest(), metavar="MOMENT",
        help="'newest' (default), an index, or a time with its zone",
    )  # fmt: skip
    restore.add_argument("--into", type=Path, metavar="DIR", help="the data directory to make")
    restore.add_argument("--cluster-id", default="", metavar="ID", help="of the new cluster")
    restore.add_argument("--name", default="", help="of the node")
    restore.add_argument("--advertise-peer", default="", metavar="HOST:PORT")
    restore.add_argument("--advertise-resp", default="", metavar="HOST:PORT")
    restore.add_argument(
        "--as-far-as-possible", action="store_true",
        help="where the moment cannot be reached, restore to the last one before it that can",
    )  # fmt: skip
    restore.add_argument("--dry-run", action="store_true", help="read, apply, and write nothing")
    prune = command("prune", "delete what no moment of the window and no kept one needs")
    prune.add_argument(
        "--window", type=window_ms, required=True, metavar="30d",
        help="every moment of so long before the newest one stays",
    )  # fmt: skip
    prune.add_argument("--least", type=positive, default=2, help="snapshots that always stay")
    prune.add_argument("--dry-run", action="store_true", help="print what would go")
    keep = command("keep", "keep a moment for ever, or until it is released")
    keep.add_argument("name")
    keep.add_argument("--at", type=moment, default=Newest(), metavar="MOMENT")
    keep.add_argument("--reason", default="")
    release = command("release", "let go a kept moment")
    release.add_argument("name")
    upload = command("upload", "bring what a data directory holds into the archive, and end")
    upload.add_argument("directory", type=Path)
    upload.add_argument(
        "--only-uploader", action="store_true",
        help="also to a store without conditional writes: no other program writes there",
    )  # fmt: skip

    run = command("run", "archive a running node, until a signal")
    run.add_argument(
        "--node", type=host_and_port, required=True, metavar="HOST:PORT", help="its admin port"
    )
    run.add_argument(
        "--tls", default="", metavar="DIR", help="ca.crt, tls.crt and tls.key for the admin port"
    )
    run.add_argument("--interval", type=seconds, default=10.0, metavar="S")
    run.add_argument("--status", type=Path, metavar="FILE", help="written at every interval, JSON")
    run.add_argument(
        "--only-uploader", action="store_true",
        help="also to a store without conditional writes: no other program writes there",
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "restore" and not options.dry_run:
        needed = ("into", "cluster_id", "name", "advertise_peer", "advertise_resp")
        missing = ["--" + n.replace("_", "-") for n in needed if not getattr(options, n)]
        if missing:
            parser.error(f"restore needs {', '.join(missing)}, or --dry-run")
    try:
        to = Destination(
            options.archive, options.endpoint, options.region, options.path_style,
            options.ca_file, options.credentials, options.timeout,
        )  # fmt: skip
        keys = keys_from(options.keys, options.key, accept_unencrypted=options.accept_unencrypted)
        reader = Reader(open_store(to), keys, threads=THREADS)
        answer, code = getattr(commands, options.command + "_")(reader, options)
    except ArchiveError as error:
        print(f"archive: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(answer, indent=2))
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
