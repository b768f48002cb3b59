"""Nodes of an image that a tenant chose: whatever they answer, the operator reads a bounded part
of it, for a bounded time, and believes none of it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from countercluster_operator.world import node_client, observe
from countercluster_operator.world.observed import node_status
from countercluster_operator.world.replies import (
    MAX_BYTES,
    MAX_LINE,
    Hostile,
    Refusal,
    Reply,
    command,
    document,
)
from countercluster_operator.world.statuses import judged

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD: dict[str, Any] = {
    "nodeId": "0" * 15 + "1",
    "role": "leader",
    "term": 3,
    "leaderId": "0" * 15 + "1",
    "commitIndex": 7,
    "lastIndex": 7,
    "ready": True,
    "reason": "",
    "members": [
        {"nodeId": "0" * 15 + "1", "name": "c-0", "voter": True, "matchIndex": None, "active": True}
    ],
    "history": {"id": "a" * 16, "index": 1, "reason": "bootstrap"},
    "tls": {"trust": "ab", "serial": "1f"},
    "users_digest": "",
    "users_error": "",
    "cache": {"known": 1, "connected": 1, "error": ""},
    "time": {
        "jumps": 1,
        "jumpedMs": 5,
        "agreed": True,
        "apart": ["0" * 16],
        "refusedJumpMs": 0,
        "runsOff": [],
        "clocks": [{"nodeId": "0" * 16, "name": "c-0", "offsetMs": -3}],
    },
}


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def flooding(begin: bytes, piece: bytes) -> Server:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(piece)
            await writer.drain()

    return serve


def saying(reply: bytes) -> Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(reply)
        await writer.drain()
        await reader.read()

    return serve


async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"$100\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def asked(serve: Server, what: Callable[[int], Awaitable[Any]]) -> Any:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass  # the operator has gone away
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(30):
            return await what(server.sockets[0].getsockname()[1])
    finally:
        server.close()


@pytest.mark.parametrize(
    ("serve", "error"),
    [
        (flooding(b"$900000\r\n", b"x" * 65_536), Hostile),
        (flooding(b"$60000000000\r\n", b"x" * 65_536), Hostile),
        (flooding(b"+", b"x" * 65_536), Hostile),
        (flooding(b"-ERR ", b"x" * 65_536), Hostile),
        (flooding(b"*1000000000\r\n", b"$1\r\na\r\n" * 9_000), Hostile),
        (flooding(b"", b"*1\r\n" * 10_000), Hostile),
        (flooding(b"%99999999\r\n", b"+a\r\n" * 9_000), Hostile),
        (flooding(b"$60000\r\n", b"\x00" * 65_536), Hostile),
        (saying(b"HTTP/1.1 200 OK\r\n\r\n"), Hostile),
        (saying(b"$-7\r\n"), Hostile),
        (saying(b":" + b"9" * 3_000 + b"\r\n"), Hostile),
        (saying(b"-ERR no\x1b[31m\r\n"), Refusal),
        (dripping, TimeoutError),
        (silent, TimeoutError),
    ],
)
def test_a_hostile_reply_ends_in_bounded_time(
    serve: Server, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_client, "CONNECT_S", 0.5)

    async def run() -> None:
        with pytest.raises(error):
            await asked(
                serve,
                lambda port: node_client.ask(
                    "127.0.0.1", "c-0", None, "RAFT.STATUS", timeout_s=0.1, port=port
                ),
            )

    asyncio.run(run())


@pytest.mark.parametrize(
    "serve", [saying(b"+OK\r\n"), silent, flooding(b"\x16\x03\x03\xff\xff", b"x" * 65_536)]
)
def test_one_who_speaks_no_tls_costs_a_bounded_time(
    serve: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_client, "CONNECT_S", 0.5)
    context = ssl.create_default_context()

    async def run() -> None:
        with pytest.raises((OSError, TimeoutError)):
            await asked(
                serve,
                lambda port: node_client.ask(
                    "127.0.0.1", "c-0", context, "RAFT.STATUS", timeout_s=0.1, port=port
                ),
            )

    asyncio.run(run())


def test_an_honest_node_is_read_in_any_pieces() -> None:
    text = json.dumps(GOOD).encode()
    for size in (1, 7, len(text) + 100):
        reply, whole = Reply(), bulk(text)
        done = [reply.feed(whole[n : n + size]) for n in range(0, len(whole), size)]
        assert done[-1]
        assert reply.value == text
    assert node_status(judged(document(text))) == node_status(GOOD)
    for line, value in ((b"+OK\r\n", b"OK"), (b":-12\r\n", -12), (b"$-1\r\n", None)):
        reply = Reply()
        assert reply.feed(line)
        assert reply.value == value
    assert command("RAFT.PROMOTE", "1") == b"*2\r\n$12\r\nRAFT.PROMOTE\r\n$1\r\n1\r\n"


def test_what_is_kept_of_a_reply_is_bounded() -> None:
    reply = Reply()
    reply.feed(b"$%d\r\n" % MAX_BYTES)
    with pytest.raises(Hostile, match="longer than"):
        reply.feed(b"x" * (MAX_BYTES + MAX_LINE + 1))
    with pytest.raises(Hostile, match="at most"):
        Reply().feed(b"$%d\r\n" % (MAX_BYTES + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"nodeId": "../../secrets"},
        {"nodeId": "0" * 17},
        {"nodeId": 5},
        {"nodeId": None},
        {"role": ["leader"]},
        {"role": "x" * 1_000},
        {"term": -1},
        {"term": 1 << 63},
        {"term": True},
        {"commitIndex": 1.5},
        {"lastIndex": "7"},
        {"ready": "yes"},
        {"reason": {}},
        {"members": None},
        {"members": {}},
        {"members": [GOOD["members"][0]] * 2},
        {"members": [{**GOOD["members"][0], "nodeId": f"{n:016x}"} for n in range(33)]},
        {"members": [7]},
        {"members": [{**GOOD["members"][0], "name": "c-0\n"}]},
        {"members": [{**GOOD["members"][0], "voter": 1}]},
        {"history": []},
        {"history": {"id": "a" * 16, "index": 1e999}},
        {"tls": "none"},
        {"tls": {"trust": "z", "serial": ""}},
        {"users_digest": "no hex"},
        {"cache": {"known": float("nan")}},
        {"cache": []},
        {"time": 5},
        {"time": {"jumps": 1e9}},
        {"time": {"apart": "everybody"}},
        {"time": {"runsOff": ["x"] * 33}},
        {"time": {"clocks": [{"nodeId": "0" * 16, "name": "c-0", "offsetMs": 1 << 70}]}},
        {"time": {"clocks": [[]]}},
    ],
)
def test_a_field_beyond_its_bounds_makes_the_status_worth_nothing(change: dict[str, Any]) -> None:
    with pytest.raises(Hostile):
        judged(document(json.dumps({**GOOD, **change}).encode()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"7",
        b"null",
        b"{",
        b"\xff",
        b'{"a":' * 60_000,
        b"[" * 60_000,
        b'{"term":' + b"9" * 50_000 + b"}",
    ],
)
def test_a_document_that_is_no_status_is_refused(text: bytes) -> None:
    with pytest.raises(Hostile):
        judged(document(text))


def test_words_are_one_printable_line_of_bounded_length() -> None:
    reason = judged({**GOOD, "reason": "a\n\x1b[2J" + "b" * 10_000})["reason"]
    assert reason.startswith("a??[2Jb")
    assert len(reason) == 300


def test_200_hostile_nodes_are_all_silent_and_an_honest_one_beside_them_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        ports = iter(range(0))
        real = node_client.ask

        async def ask(ip: str, name: str, context: Any, *words: str, timeout_s: float) -> Any:
            return await real(ip, name, context, *words, timeout_s=timeout_s, port=next(ports))

        monkeypatch.setattr(observe, "ask", ask)
        monkeypatch.setattr(observe, "ASK_S", 20)  # all run in this one loop
        monkeypatch.setattr(node_client, "CONNECT_S", 20)
        bad = saying(b"$60000\r\n" + b"\x00" * 70_000)

        async def both(bad_port: int) -> None:
            async def good(port: int) -> None:
                nonlocal ports
                ports = iter([bad_port] * 200 + [port])
                answers = await asyncio.gather(
                    *(observe._ask("127.0.0.1", "c-0", None, 20) for _ in range(201))
                )
                assert answers[:200] == [None] * 200
                assert answers[200] == node_status(GOOD)

            await asked(saying(bulk(json.dumps(GOOD).encode())), good)

        await asked(bad, both)

    asyncio.run(run())
