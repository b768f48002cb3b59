"""A load generator that checks the books: it counts for a while, through whatever happens, and then
compares the answers with what is there.

    python3 -m countercluster.load --url redis://clicks:6379 --connections 8 --seconds 20 --key demo
    --json

The counter must have grown by what was acknowledged, plus at most the unknown outcomes; without
`--plain` there are none of these while the cluster comes back within the deadline. Nobody else may
use the key meanwhile. Progress is written to stderr once a second; SIGTERM and Ctrl-C end the
counting early, not the books.

Exit codes: 0 the books balance; 1 a count was lost or doubled; 2 bad arguments; 3 the counter could
not be read, so nothing was shown."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence

from countercluster import __version__
from countercluster.errors import CounterError, NotExecuted, OutcomeUnknown, Refused
from countercluster.sync.counters import Counters
from countercluster.tally import Books, Tally

BALANCED, UNBALANCED, UNREADABLE = 0, 1, 3


class Budget:
    """How much is to be done: a number of increments, an end, a pace. Shared by all workers."""

    def __init__(self, count: int | None, seconds: float | None, rate: float | None) -> None:
        self._left = count
        self._end = time.monotonic() + seconds if seconds is not None else None
        self._every_s = 1 / rate if rate else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def take(self) -> bool:
        """Waits until the next increment is due. False: it is enough."""
        now = time.monotonic()
        with self._lock:
            if (
                self.stopped.is_set()
                or self._left == 0
                or (self._end is not None and now >= self._end)
            ):
                return False
            if self._left is not None:
                self._left -= 1
            # After an outage the pace goes on from now: no burst to make up for it.
            due = self._next = max(self._next + self._every_s, now)
        return not (due > now and self.stopped.wait(due - now))


class Worker(threading.Thread):
    """Counts over a connection of its own until the budget is spent."""

    def __init__(
        self, counters: Counters, key: str, budget: Budget, tally: Tally, read_every: int
    ) -> None:
        super().__init__(daemon=True)
        self._counters = counters
        self._key = key
        self._budget = budget
        self._tally = tally
        self._read_every = read_every

    def run(self) -> None:
        done = 0
        while self._budget.take():
            self._add()
            done += 1
            if self._read_every and done % self._read_every == 0:
                self._get()

    def _add(self) -> None:
        start = time.monotonic()
        try:
            value = self._counters.incr(self._key)
        except OutcomeUnknown as error:
            self._tally.unknown(start, time.monotonic(), str(error))
        except (NotExecuted, Refused) as error:
            self._tally.failed(str(error))
        else:
            self._tally.acknowledged(start, time.monotonic(), value)

    def _get(self) -> None:
        start = time.monotonic()
        try:
            value = self._counters.get(self._key)
        except CounterError as error:
            self._tally.failed(str(error))
        else:
            self._tally.read(start, time.monotonic(), value or 0)


def run(options: argparse.Namespace, budget: Budget, counters: Counters) -> Books:
    """Raises CounterError when the counter cannot be read before or after."""
    initial = counters.get(options.key) or 0
    tally = Tally(keep_history=options.history)
    workers = [
        Worker(counters, options.key, budget, tally, options.read_every)
        for _ in range(options.connections)
    ]
    for worker in workers:
        worker.start()
    next_report = time.monotonic() + 1
    while any(worker.is_alive() for worker in workers):
        for worker in workers:
            worker.join(max(0.0, min(0.2, next_report - time.monotonic())))
        if time.monotonic() >= next_report:
            next_report += 1
            if not options.quiet:
                print(tally.progress(), file=sys.stderr, flush=True)
    books = tally.close(initial)
    books.final = counters.get(options.key) or 0
    return books


def arguments() -> argparse.ArgumentParser:
    parser = _parser_with_addresses()
    _add_amounts(parser)
    _add_ways(parser)
    parser.add_argument(
        "--history",
        action="store_true",
        help="every operation with its times in the JSON, for a checker",
    )
    parser.add_argument(
        "--json", action="store_true", help="the result as one JSON object on stdout"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _parser_with_addresses() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countercluster.load",
        description="Counts, and checks that nothing was lost or doubled.",
    )
    parser.add_argument("--version", action="version", version=f"countercluster {__version__}")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--url",
        action="append",
        metavar="redis://HOST:PORT",
        help="an address of the cluster; may be given several times",
    )
    where.add_argument(
        "--binding",
        metavar="FOLDER",
        help="where the Secret <name>-client is mounted: address, password and certificates",
    )
    return parser


def _add_amounts(parser: argparse.ArgumentParser) -> None:
    """What is counted, how much, and how fast."""
    parser.add_argument(
        "--key",
        default="load",
        help="the counter; nobody else may use it meanwhile (default: load)",
    )
    parser.add_argument(
        "--connections",
        type=int,
        default=8,
        help="how many at the same time, 1 to 256 (default: 8)",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--count", type=int, help="increments in total (default: 1000)")
    amount.add_argument("--seconds", type=float, help="count for so long instead")
    parser.add_argument(
        "--rate", type=float, help="at most so many increments a second, over all connections"
    )


def _add_ways(parser: argparse.ArgumentParser) -> None:
    """How each increment is sent, and when it is given up."""
    parser.add_argument(
        "--plain",
        action="store_true",
        help="plain INCRBY, as a stock client without retries sends it",
    )
    parser.add_argument(
        "--read-every",
        type=int,
        default=0,
        metavar="N",
        help="a linearizable read after every N increments of a connection",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds after which one increment is given up (default: 60)",
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = arguments()
    options = parser.parse_args(words)
    if not 1 <= options.connections <= 256:
        parser.error(f"--connections is {options.connections}; 1 to 256")
    count = 1000 if options.count is None and options.seconds is None else options.count
    budget = Budget(count, options.seconds, options.rate)
    with contextlib.suppress(ValueError):  # not the main thread: then nobody sends us signals
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, lambda *_: budget.stopped.set())
    try:
        how = {"exactly_once": not options.plain, "deadline_s": options.deadline}
        with (
            Counters.bound(options.binding, **how)
            if options.binding
            else Counters(options.url, **how) as counters
        ):
            books = run(options, budget, counters)
    except CounterError as error:
        print(f"the counter {options.key!r} could not be read: {error}", file=sys.stderr)
        return UNREADABLE
    if options.json:
        print(json.dumps(books.as_json(), separators=(",", ":")), flush=True)
    else:
        print(books.as_text(), flush=True)
    return BALANCED if books.balanced else UNBALANCED


if __name__ == "__main__":
    sys.exit(main())
