"""Finding a breakage: by the simulator's seeds, or by a part of the test suite. Each in a process
of its own, since it breaks what it imports. Any exception counts as found, one that the breakage
itself raises by mistake too: whoever adds one reads what found it."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Found:
    by: str  # empty: not found
    seconds: float


def search(name: str, budget_s: float) -> Found:
    """Runs this module for the mutation and reads what it says."""
    start = time.monotonic()
    path = "node_image:client:operator:."
    # What is broken is Python; where its compiled twin does the work nothing would be broken.
    environment = {**os.environ, "COUNTER_PURE": "1", "MUTATION": name, "PYTHONPATH": path}
    command = [sys.executable, "-m", "tests.mutations.search", name, str(budget_s)]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=budget_s + 30,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Found("", time.monotonic() - start)
    line = next((line for line in done.stdout.splitlines() if line.startswith("FOUND ")), "")
    if not line and done.returncode:
        raise AssertionError(f"{name}: {done.stderr[-2000:]}")
    return Found(line.removeprefix("FOUND "), time.monotonic() - start)


def by_simulation(name: str, plans: tuple[str, ...], budget_s: float) -> str:
    from tests.mutations.catalogue import CATALOGUE
    from tests.simulation.plan import PLANS
    from tests.simulation.shrink import failure

    CATALOGUE[name].apply(setattr)
    end = time.monotonic() + budget_s
    for seed in range(1, 1_000_000):
        for plan in plans:
            if time.monotonic() > end:
                return ""
            found = failure(seed, PLANS[plan])
            if found is not None:
                return f"seed {seed} ({plan}): {found.error.splitlines()[0][:90]}"
    return ""


def by_tests(tests: tuple[str, ...], budget_s: float) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.mutations.plugin",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=budget_s, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return failed[1] if failed else ""


def main() -> None:
    from tests.mutations.catalogue import CATALOGUE

    name, budget_s = sys.argv[1], float(sys.argv[2])
    mutation = CATALOGUE[name]
    found = (
        by_simulation(name, mutation.plans, budget_s)
        if mutation.plans
        else by_tests(mutation.tests, budget_s)
    )
    if found:
        print(f"FOUND {found}")


if __name__ == "__main__":
    main()
