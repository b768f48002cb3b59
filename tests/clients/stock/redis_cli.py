"""redis-cli: see README.md. `redis_cli.py PORT KEY [once]`; it has no setting for repetitions."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import threading
import time

PORT, KEY = sys.argv[1:3]
CLI = ["redis-cli", "-p", PORT]


def cli(*words: str, stdin: str = "") -> list[str]:
    return subprocess.run(
        [*CLI, *words], input=stdin, capture_output=True, text=True, timeout=120, check=True
    ).stdout.split("\n")


def basics() -> dict[str, str]:
    most = 2**63 - 1
    checks = {
        "defaults": cli("incr", KEY + ":a")[0] == "1",
        "RESP2": cli("-2", "set", KEY + ":b", "2", "ex", "60")[0] == "OK",
        "RESP3": cli("-3", "set", KEY + ":b", "3", "ex", "60")[0] == "OK",
        "pipeline": "errors: 0, replies: 100"
        in "".join(cli("--pipe", stdin=f"INCR {KEY}:p\r\n" * 100)),
        "MULTI": cli(stdin=f"MULTI\nINCRBY {KEY}:m 5\nDECR {KEY}:m\nEXEC\n")[3:5] == ["5", "4"],
        "WATCH": cli(stdin=f"WATCH {KEY}:m\nMULTI\nINCR {KEY}:m\nEXEC\n")[3:4] == ["5"],
        "errors": "overflow"
        in " ".join(cli(stdin=f"SET {KEY}:e {most}\nINCR {KEY}:e\nDECR {KEY}:e\n")),
        "SCAN": len([line for line in cli("--scan", "--pattern", KEY + ":*") if line]) >= 4,
    }
    return {
        "protocol": "RESP2",
        **{name: "ok" if good else "another answer" for name, good in checks.items()},
    }


def count() -> dict[str, object]:
    errors: collections.Counter[str] = collections.Counter()
    acknowledged, gap_s, last = 0, 0.0, time.monotonic()
    loop = subprocess.Popen(
        [*CLI, "-r", "-1", "-i", "0.005", "incr", KEY],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def end() -> None:
        sys.stdin.read()
        loop.terminate()

    threading.Thread(target=end, daemon=True).start()
    assert loop.stdout is not None
    for line in loop.stdout:
        if line.strip().isdigit():
            acknowledged += 1
            gap_s, last = max(gap_s, time.monotonic() - last), time.monotonic()
            if acknowledged == 20:
                print("counting", flush=True)
        elif line.strip():
            errors[line.strip()] += 1
    loop.wait()
    return {"acknowledged": acknowledged, "errors": errors, "gap_ms": round(gap_s * 1000)}


if __name__ == "__main__":
    print(json.dumps(basics()), flush=True)
    sys.stdin.readline()
    print(json.dumps(count()), flush=True)
