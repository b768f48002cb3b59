"""Replies as bytes, in RESP2 and RESP3 (encode.py)."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from counter_node.counters.replies import (
    OK,
    Failure,
    ResultMap,
    Set,
    Simple,
    Verbatim,
    pack,
    unpack,
)
from counter_node.resp.encode import encode, encode_many
from hypothesis import given, settings
from hypothesis import strategies as st
from redis._parsers import _RESP2Parser, _RESP3Parser
from redis.exceptions import ResponseError

REPLIES = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-20, 10_020),
        st.binary(max_size=30),
        st.none(),
        st.just(OK),
        st.sampled_from(["QUEUED", "PONG"]).map(Simple),
        st.sampled_from([b"ERR no", b"OOM too many", b"ERR a\r\nb"]).map(Failure),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.binary(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


def expected(reply: Any, protocol: int) -> Any:
    """As a client sees it."""
    if isinstance(reply, Failure):
        return ("error", bytes(reply).replace(b"\r", b" ").replace(b"\n", b" ").decode())
    if isinstance(reply, Simple):
        return reply.encode()
    if isinstance(reply, list):
        return [expected(part, protocol) for part in reply]
    if isinstance(reply, dict):
        parts = [(key, expected(value, protocol)) for key, value in reply.items()]
        return dict(parts) if protocol == 3 else [part for pair in parts for part in pair]
    return reply


def seen(reply: Any) -> Any:
    if isinstance(reply, hiredis.ReplyError):
        return ("error", str(reply))
    if isinstance(reply, list):
        return [seen(part) for part in reply]
    if isinstance(reply, dict):
        return {key: seen(value) for key, value in reply.items()}
    return reply


@settings(deadline=None)
@given(st.lists(REPLIES, min_size=1, max_size=5), st.sampled_from([2, 3]))
def test_hiredis_reads_what_was_meant(replies: list[Any], protocol: int) -> None:
    reader = hiredis.Reader()
    reader.feed(encode_many(replies, protocol))
    assert [seen(reader.gets()) for _ in replies] == [
        expected(reply, protocol) for reply in replies
    ]
    assert reader.gets() is False


class Buffer:
    """What redis-py's own parsers read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readline(self, **_: Any) -> bytes:
        line, _, self._data = self._data.partition(b"\r\n")
        return line

    def read(self, length: int, **_: Any) -> bytes:
        found, self._data = self._data[:length], self._data[length + 2 :]
        return found

    def get_pos(self) -> int:
        return 0

    def purge(self) -> None: ...


@pytest.mark.parametrize(("parser", "protocol"), [(_RESP2Parser, 2), (_RESP3Parser, 3)])
@pytest.mark.parametrize(
    "reply",
    [0, 9_999, 10_000, -1, 2**63 - 1, b"", b"a\r\nb", None, OK, [1, [b"x", None]], {b"a": [1]}],
)
def test_redis_py_reads_what_was_meant(parser: Any, protocol: int, reply: Any) -> None:
    reading = parser(socket_read_size=65_536)
    reading._buffer = Buffer(encode(reply, protocol))
    assert reading._read_response(disable_decoding=True) == expected(reply, protocol)


def test_redis_py_raises_what_was_refused() -> None:
    reading = _RESP2Parser(socket_read_size=65_536)
    reading._buffer = Buffer(encode(Failure(b"ERR value is not an integer or out of range"), 2))
    assert isinstance(reading._read_response(), ResponseError)


@pytest.mark.parametrize(
    ("reply", "resp2", "resp3"),
    [
        (None, b"$-1\r\n", b"_\r\n"),
        ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (Set([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
        (OK, b"+OK\r\n", b"+OK\r\n"),
        (Simple("OK"), b"+OK\r\n", b"+OK\r\n"),
        (Failure(b"ERR a\r\nb"), b"-ERR a  b\r\n", b"-ERR a  b\r\n"),
        (
            ResultMap([1, b"a", 1, None]),
            b"*4\r\n:1\r\n$1\r\na\r\n:1\r\n$-1\r\n",
            b"%2\r\n:1\r\n$1\r\na\r\n:1\r\n_\r\n",
        ),
        ("text", b"$4\r\ntext\r\n", b"$4\r\ntext\r\n"),
        ([], b"*0\r\n", b"*0\r\n"),
        (10_000, b":10000\r\n", b":10000\r\n"),
        (-1, b":-1\r\n", b":-1\r\n"),
    ],
)
def test_the_two_protocols(reply: Any, resp2: bytes, resp3: bytes) -> None:
    assert (encode(reply, 2), encode(reply, 3)) == (resp2, resp3)


@settings(deadline=None)
@given(REPLIES)
def test_a_kept_reply_is_the_same_reply(reply: Any) -> None:
    again = unpack(pack(reply))
    assert again == reply
    assert encode(again, 2) == encode(reply, 2)


def test_text_for_people_is_marked_in_resp3_and_a_string_in_resp2_and_in_the_state() -> None:
    assert encode(Verbatim(b"a:1\r\n"), 3) == b"=9\r\ntxt:a:1\r\n\r\n"
    assert encode(Verbatim(b"a:1\r\n"), 2) == b"$5\r\na:1\r\n\r\n"
    assert unpack(pack(Verbatim(b"x"))) == b"x"
