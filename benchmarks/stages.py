"""`python -m benchmarks.stages [REPEATS]`: what each stage of the hot path costs a command, in
microseconds, without sockets and disk.

Each figure is the best of several repeats, so it is the cost with warm caches; in a node between
system calls it is up to twice that."""

from __future__ import annotations

import argparse
import asyncio
import timeit
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from counter_node.counters import batches
from counter_node.counters.machine import Machine
from counter_node.net import frames
from counter_node.net.clients import ClientServer
from counter_node.node.node import Node
from counter_node.raft.messages import Append
from counter_node.raft.types import Entry, EntryKind
from counter_node.resp.commands import CATALOGUE
from counter_node.resp.dispatch import handle, increments, new_session
from counter_node.resp.encode import encode_many
from counter_node.resp.parser import Parser
from counter_node.security.refusals import Refusals
from counter_node.users.access import Access
from counter_node.views.metrics import Metrics

BATCH = 800


class Silent:
    """A transport that takes everything."""

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 1) if name.endswith("name") else None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class NodeWithoutLog:
    """Stands for the node that connections talk to: keeps what they submit."""

    def __init__(self) -> None:
        limits = {
            "max_pipeline": 10_000,
            "max_pipeline_bytes": 8 << 20,
            "max_reply_bytes": 1 << 25,
            "max_clients": 10_000,
            "max_gathered": 100_000,
        }
        self.settings = SimpleNamespace(
            **limits, cluster_port=0, resp_port=0, unready_close_s=0, client_bytes=0
        )
        self.memory_bytes = 0
        self.submitted: list[tuple[Any, list[Any]]] = []
        self.replica = SimpleNamespace(
            submit_write=lambda token, ops, mixed=False: self.submitted.append((token, ops))
        )
        self.metrics = Metrics(cast(Node, self))
        self.refusals = Refusals()
        self.access, self.tls = Access(None, CATALOGUE, self.refusals), None

    def spawn(self, work: Any) -> None:
        pass

    def wake(self) -> None:
        pass

    turn_now = wake


def time(stage: str, commands: int, work: Callable[[], object], repeats: int) -> None:
    number = max(1, 20_000 // commands)
    best = min(timeit.repeat(work, number=number, repeat=repeats)) / number / commands
    print(f"  {stage:58} {best * 1e6:7.3f}")


def connection(pipeline: int, repeats: int) -> None:
    data = b"".join(
        b"*2\r\n$4\r\nINCR\r\n$20\r\ncounter:%012d\r\n" % (n % 1000) for n in range(pipeline)
    )
    print(f"pipelines of {pipeline}")
    parser, session = Parser(), new_session(1, "a:1", "b:1", admin=False)
    commands = parser.feed(data)
    time("parse", pipeline, lambda: parser.feed(data), repeats)
    if pipeline == 1:
        time("one command to an operation", 1, lambda: handle(session, commands[0]), repeats)
    else:
        time("commands to operations", pipeline, lambda: increments(session, commands), repeats)
    replies = list(range(10**6, 10**6 + pipeline))
    time("replies to bytes", pipeline, lambda: encode_many(replies, 2), repeats)
    node = NodeWithoutLog()
    server = ClientServer(cast(Node, node), 10_000)
    connections = [server.client() for _ in range(50)]
    for one in connections:
        one.connection_made(cast(Any, Silent()))
        one.data_received(b"*1\r\n$4\r\nPING\r\n")

    def round_trip() -> None:
        for one in connections:
            one.data_received(data)
        server.lane.submit()
        server.deliver([(token, (replies * 50)[: len(ops)]) for token, ops in node.submitted])
        node.submitted.clear()

    time("all of a connection: data in, replies out", 50 * pipeline, round_trip, repeats)


def batch(repeats: int) -> None:
    print(f"batches of {BATCH}")
    ops: list[Any] = [b"counter:%012d" % (n % 1000) for n in range(BATCH)]
    body = batches.encode_batch(5, 1, ops)
    time("encode a batch (gateway)", BATCH, lambda: batches.encode_batch(5, 1, ops), repeats)
    time("decode a batch (other nodes)", BATCH, lambda: batches.ops_of(body), repeats)
    machine = Machine()
    session = machine.apply(1, batches.stamp(1, batches.encode_open(1)), lambda s, n: None).session
    numbers = iter(range(1, 10**9))

    def execute(own: list[Any] | None) -> None:
        machine.apply(
            2, batches.stamp(1, batches.encode_batch(session, next(numbers), ops)), lambda s, n: own
        )

    time("execute one's own batch, with replies", BATCH, lambda: execute(ops), repeats)
    time("execute another gateway's batch", BATCH, lambda: execute(None), repeats)
    append = [Append(7, 1, 7, 1, [Entry(2, 7, EntryKind.DATA, batches.stamp(1, body))])]
    sent = frames.frame(append)
    time("frame for a peer: encode, CRC", BATCH, lambda: frames.frame(append), repeats)
    received = frames.Frames()
    time(
        "frame from a peer: CRC, decode",
        BATCH,
        lambda: [frames.DECODER.decode(payload) for payload in received.feed(sent)],
        repeats,
    )


async def main(repeats: int) -> None:
    print("microseconds per command")
    connection(1, repeats)
    connection(16, repeats)
    batch(repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="benchmarks.stages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "repeats",
        nargs="?",
        type=int,
        default=7,
        help="how often each is measured; the best counts (default: 7)",
    )
    asyncio.run(main(repeats=parser.parse_args().repeats))
