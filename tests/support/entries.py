"""`python -m tests.support.entries`: calls entry points with words of a command line, each in a
fork of one process that has imported what they share.

Reads a JSON list of [[entry, word…], …] from standard input; prints for each {"code", "out",
"err"}. An entry is a module's name or a file. A fork is ended after a minute: whoever takes an
unknown option for none goes to work."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

SHARED = (
    "kopf",
    "kubernetes",
    "redis",
    "redis.asyncio",
    "typer",
    "rich",
    "cryptography.x509",
    "uvloop",
    "msgspec",
    "yaml",
)
MOST_S = 60


def call(entry: str, words: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            _be(entry, words, out.fileno(), err.fileno())
        _, status = os.waitpid(pid, 0)
        for file in (out, err):
            file.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "out": out.read(), "err": err.read()}


def _be(entry: str, words: list[str], out: int, err: int) -> None:
    """Becomes that program. Does not return."""
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(MOST_S)
        sys.argv = [entry, *words]
        if entry.endswith(".py"):
            sys.path[0] = str(Path(entry).parent.resolve())
            runpy.run_path(entry, run_name="__main__")
        else:
            runpy.run_module(entry, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def main() -> None:
    argparse.ArgumentParser(prog="tests.support.entries", description=__doc__).parse_args()
    for name in SHARED:
        importlib.import_module(name)
    json.dump([call(entry, words) for entry, *words in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
