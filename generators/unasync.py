"""Makes the blocking face of the client from the asyncio one: `python generators/unasync.py`.
`--check` only says whether it is current.

One source for both: countercluster/aio/{counters,lane,cache}.py. After the replacement of words
below the two differ in nothing else; what waiting is, is in the two hand-written waiting.py."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "client" / "countercluster"
NAMES = ("counters.py", "lane.py", "cache.py")
HEADER = "# Made from ../aio/{name} by generators/unasync.py: change it there.\n"

WORDS = [
    (r"\bredis\.asyncio\.", "redis."),
    (r"\bcountercluster\.aio\.", "countercluster.sync."),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsync(Counters|Lane|Cache)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
]


def made(name: str) -> str:
    text = (PACKAGE / "aio" / name).read_text()
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return HEADER.format(name=name) + text


def stale() -> list[str]:
    found = []
    for name in NAMES:
        path = PACKAGE / "sync" / name
        if not path.exists() or path.read_text() != made(name):
            found.append(name)
    return found


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--check",
        action="store_true",
        help="changes nothing; exit code 1 when a file is not current",
    )
    options = parser.parse_args(words)
    wrong = stale()
    if options.check:
        for name in wrong:
            print(
                f"countercluster/sync/{name} is not what generators/unasync.py makes of aio/{name}:"
                f" run `python generators/unasync.py`",
                file=sys.stderr,
            )
        return 1 if wrong else 0
    for name in wrong:
        (PACKAGE / "sync" / name).write_text(made(name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
