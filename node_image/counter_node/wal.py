"""`python -m counter_node.wal inspect DIR` prints a node's data directory. Exit code 3 when it is
damaged."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import __version__
from .storage.inspection import DAMAGED, OK, inspect


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m counter_node.wal", description=__doc__)
    parser.add_argument("--version", action="version", version=f"counter_node {__version__}")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser(
        "inspect",
        help="print segments, frames, entries and snapshots; changes nothing and takes no lock",
    )
    command.add_argument("directory", type=Path, metavar="DIR")
    directory: Path = parser.parse_args(arguments).directory
    if not directory.is_dir():
        parser.error(f"{directory} is not a directory")
    line = ""
    try:
        for line in inspect(directory):
            print(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return DAMAGED if line.startswith("DAMAGED") else OK


if __name__ == "__main__":
    sys.exit(main())
