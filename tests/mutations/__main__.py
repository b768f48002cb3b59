"""`python -m tests.mutations`: every breakage, what found it, and how soon. Exit code 1 when one is
not found: a hole in the tests."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.mutations.catalogue import CATALOGUE
from tests.mutations.search import Found, search


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--budget", type=float, default=180, metavar="S", help="seconds for each")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    names = options.names or list(CATALOGUE)
    missed: list[str] = []
    with ThreadPoolExecutor(options.processes) as pool:

        def one(name: str) -> tuple[str, Found]:
            return name, search(name, options.budget)

        for name, found in pool.map(one, names):
            print(
                f"{name:42} {found.seconds:6.1f} s  "
                f"{found.by or 'NOT FOUND: ' + CATALOGUE[name].breaks}",
                flush=True,
            )
            if not found.by:
                missed.append(name)
    print(f"{len(names) - len(missed)} of {len(names)} breakages found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
