"""The blocking face of the client is what generators/unasync.py makes of the asyncio one, and
nothing in it was forgotten."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

from countercluster import AsyncCounters, Counters

from tests.support.devcluster import ROOT

SYNC = ROOT / "client/countercluster/sync"


def test_the_blocking_face_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "generators/unasync.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def test_nothing_of_asyncio_is_left_in_the_blocking_face() -> None:
    for path in SYNC.glob("*.py"):
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\basync\b|\bawait\b|\basyncio\b|Async", code), path


def test_both_faces_have_the_same_calls() -> None:
    def calls(kind: type) -> dict[str, str]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: str(inspect.signature(function))
            for name, function in found
            if not name.startswith("_")
        }

    assert calls(Counters) == calls(AsyncCounters)
