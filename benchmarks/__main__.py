"""`python -m benchmarks`: starts each system the same way on loopback, with its data on the real
disk, and compares them."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks import machine, report, scenarios, systems, tools
from benchmarks.run import Run
from benchmarks.system import System

RESULTS = Path(__file__).resolve().parent / "results"


def about(options: argparse.Namespace) -> dict[str, object]:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {model}, Linux {platform.release()}",
        "python": platform.python_version()
        + (", of the distribution" if sys.base_prefix == "/usr" else ", not of the distribution"),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "stalls before, with every core busy": str(machine.stalls(3.0)),
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--systems",
        default=",".join(s.name for s in systems.SYSTEMS),
        help="some of the default, and pure, with commas",
    )
    parser.add_argument(
        "--scenarios",
        default=",".join(s.name for s in scenarios.ALL),
        help="some of the default, with commas",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="of each measurement, after half a second of warm-up",
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="folder of the table and the plots"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=None,
        help="where the data go: a folder on the disk that is to be measured",
    )
    return parser


def measure(
    options: argparse.Namespace,
    chosen: list[type[System]],
    asked: list[scenarios.Scenario],
) -> None:
    """Measures the rounds and writes what was measured, also when it is interrupted."""
    made = tools.build()
    facts = about(options)
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="countercluster-bench-") as directory:
        run = Run(made, Path(directory), options.seconds)
        try:
            for number in range(1, options.rounds + 1):
                print(f"round {number} of {options.rounds}", flush=True)
                run.round(number, chosen, asked)
        except KeyboardInterrupt:
            print("bench: interrupted; what was measured is written", flush=True)
        finally:
            options.out.mkdir(parents=True, exist_ok=True)
            run.save(options.out / "results.json", facts)


def main() -> int:
    parser = arguments()
    options = parser.parse_args()
    if lacking := tools.missing():
        print("bench: this machine lacks\n  " + "\n  ".join(lacking), file=sys.stderr)
        return 2
    try:
        chosen = [systems.BY_NAME[name] for name in options.systems.split(",")]
        asked = [scenarios.BY_NAME[name] for name in options.scenarios.split(",")]
    except KeyError as error:
        parser.error(f"no such system or scenario: {error}")
    measure(options, chosen, asked)
    report.write(options.out)
    print((options.out / "README.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
