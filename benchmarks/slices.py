"""`python -m benchmarks.slices`: the longest that each heavy thing holds a node's loop at once, as
processor time of the thread: what other programs do on the machine does not count. Without sockets
and disk; `benchmarks.pauses` is what a client sees of the same, on a machine that is quiet."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from counter_node.counters import batches
from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.machine import Machine
from counter_node.resp.actions import Slow
from counter_node.resp.dispatch import begin, handle, new_session
from counter_node.resp.encode import encode, in_pieces
from counter_node.resp.limits import MAX_ARGUMENTS
from counter_node.resp.parser import Parser
from counter_node.resp.session import Session

BATCH = 1_000
PIECE_BYTES = 32 << 10
NAMES = [b"counter:%022d" % n for n in range(MAX_ARGUMENTS - 1)]


class Longest:
    def __init__(self, what: str) -> None:
        self.what, self.ms, self.steps, self._all = what, 0.0, 0, 0.0

    def __call__(self, step: Callable[[], Any]) -> Any:
        begin = time.thread_time()
        found = step()
        took = 1000 * (time.thread_time() - begin)
        self.ms, self.steps, self._all = max(self.ms, took), self.steps + 1, self._all + took
        return found

    def tell(self) -> None:
        print(f"| {self.what} | {self.ms:.1f} | {self.steps:,} | {self._all:.0f} |", flush=True)


def whole(what: str, steps: Iterable[Any]) -> None:
    """Each step of an iterator."""
    longest, iterator, end = Longest(what), iter(steps), object()
    while longest(lambda: next(iterator, end)) is not end:
        pass
    longest.tell()


class Log:
    """One gateway's batches, executed as its own or as another's."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.index, self.number, self.time_ms = machine, 10, 0, 1_000
        self.session = machine.apply(
            self.index, batches.stamp(1_000, batches.encode_open(7)), lambda _s, _n: None
        ).session

    def slices(self, body: bytes | None, commands: list[Op]) -> Iterator[None]:
        """An entry, slice by slice; decoded as on another member, where there are commands."""
        self.index += 1
        if commands:
            self.number += 1
            body = batches.encode_batch(self.session, self.number, commands)
        assert body is not None
        outcome = self.machine.begin(
            self.index, batches.stamp(self.time_ms, body), lambda _s, _n: None
        )
        yield
        while outcome is None:
            outcome = self.machine.go_on()
            yield

    def run(self, *commands: Op) -> None:
        for _ in self.slices(None, list(commands)):
            pass


def filled(keys: int, expiring_ms: int = 0) -> Log:
    log, longest = (
        Log(Machine(max_keys=1 << 40)),
        Longest(
            f"{keys:,} new counters, {BATCH:,} at a time" + " with an expiry" * bool(expiring_ms)
        ),
    )
    for start in range(0, keys, BATCH):
        kind = o.EX_IN if expiring_ms else o.EX_NONE
        ops: list[Op] = [
            [o.SET, b"counter:%022d" % n, n, 0, None, kind, expiring_ms, False]
            for n in range(start, start + BATCH)
        ]
        longest(lambda ops=ops: log.run(*ops))  # type: ignore[misc]
        if start % (100 * BATCH) == 0:
            gc.freeze()  # as a node does when its tables have grown
    longest.tell()
    return log


def taken_apart(what: str, session: Session, words: list[bytes]) -> Any:
    longest = Longest(what)
    found = longest(lambda: begin(session, words))
    while isinstance(found, Slow):
        action = longest(found.step)
        found = found if action is None else action
    longest.tell()
    return found


def words_to_operations() -> None:
    session = new_session(1, "", "", admin=False)
    mset = [
        b"MSET",
        *(word for name in NAMES[: MAX_ARGUMENTS // 2 - 1] for word in (name, b"1234567")),
    ]
    wire = b"*%d\r\n" % len(mset) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in mset)
    parser = Parser()
    whole(
        f"parse {len(mset):,} words",
        (parser.feed(wire[at : at + PIECE_BYTES]) for at in range(0, len(wire), PIECE_BYTES)),
    )
    taken_apart(f"MSET of {len(mset):,} words to an operation", session, mset)
    taken_apart(f"DEL of {len(NAMES):,} names to an operation", session, [b"DEL", *NAMES])
    handle(session, [b"MULTI"])
    for name in NAMES[:10_000]:
        handle(session, [b"SET", name, b"5", b"EX", b"1000"])
    transaction = taken_apart("EXEC of 10,000 SET to an operation", session, [b"EXEC"])
    encoded = Longest("that transaction to an entry, and from it")
    body = encoded(lambda: batches.encode_batch(1, 1, [transaction.op]))
    encoded(lambda: batches.ops_of(body))
    encoded.tell()
    reply = [b"1234567"] * len(NAMES)
    whole(f"the answer of MGET of {len(NAMES):,} names to bytes", in_pieces([reply], 2))
    at_once = Longest("the same at once, as before")
    at_once(lambda: encode(reply, 2))
    at_once.tell()


def executed(log: Log, keys: int) -> None:
    machine = log.machine
    whole(f"DEL of {len(NAMES):,} names", log.slices(None, [[o.DEL, NAMES]]))
    whole(
        "MSET of the same",
        log.slices(None, [[o.MSET, [x for name in NAMES for x in (name, 5)], False]]),
    )
    reading = machine.reading([[o.KEYS, b"*"]])
    whole("KEYS *", iter(reading.step, True))
    dump = machine.dump()
    step = iter(dump.step, True)
    whole(f"a snapshot of {keys:,}, others writing", _beside(log, step))
    state = b"".join(dump.pieces())
    restoring = Machine.restoring(state)
    whole("a received one put in force", iter(restoring.step, True))
    whole("FLUSHALL", log.slices(None, [[o.FLUSH]]))
    whole("its memory given back", _tidied(machine))


def _beside(log: Log, steps: Iterable[bool]) -> Iterator[None]:
    for n, _ in enumerate(steps):
        log.run(b"new:%d" % n, [o.DEL, [b"counter:%022d" % n]])
        yield


def _tidied(machine: Machine) -> Iterator[None]:
    while machine.untidy:
        machine.tidy()
        yield


def expired(keys: int) -> None:
    log = Log(Machine())
    for _ in log.slices(batches.encode(batches.Jump(log.time_ms, True)), []):
        pass
    for start in range(0, keys, BATCH):
        log.run(
            *(
                [o.SET, b"counter:%022d" % n, n, 0, None, o.EX_IN, 60_000, False]
                for n in range(start, start + BATCH)
            )
        )
    whole(
        f"a jump of log time, {keys:,} deadlines",
        log.slices(batches.encode(batches.Jump(100_000, False)), []),
    )
    log.time_ms = 200_000
    ticks = Longest(f"{keys:,} counters due at once, one entry after the other")
    while True:
        for _ in log.slices(batches.encode_tick(), []):
            pass
        ticks(lambda: [None for _ in log.slices(batches.encode_tick(), [])])
        if not log.machine.backlog:
            break
    ticks.tell()


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.slices", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    options = parser.parse_args()
    gc.set_threshold(50_000, 20, 20)  # as a node does
    gc.freeze()
    print("| what | longest, ms | slices | all, ms |\n|---|---:|---:|---:|")
    words_to_operations()
    executed(filled(options.keys), options.keys)
    expired(options.keys // 2)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
