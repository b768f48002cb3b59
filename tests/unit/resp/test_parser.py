"""The two ways through the parser agree with each other and with Redis's rules, however the bytes
are cut."""

from __future__ import annotations

import itertools
import resource
import time

import pytest
from counter_node.resp.limits import MAX_ARGUMENTS, MAX_REQUEST_BYTES
from counter_node.resp.parser import Parser, ProtocolError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.unit.protocol_errors import ERRORS


def wire(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word), word) for word in words
    )


def feed_all(pieces: list[bytes]) -> tuple[list[list[bytes]], str | None]:
    """Commands, and the error that ended the connection."""
    parser, commands = Parser(), []
    for piece in pieces:
        try:
            commands += parser.feed(piece)
        except ProtocolError as error:
            return commands + error.commands, str(error)
    return commands, None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds)]


# Words that hold what headers look like: they must never be taken for one.
WORDS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            b"",
            b"INCR",
            b"k",
            b"\r\n",
            b"\r\n*99999\r\n",
            b"a\n+OK",
            b"x\n(1",
            b"*123456",
            b"$-1\r\n",
            b"y" * 3_000,
            b"\n=5\r\n",
        ]
    ),
)
COMMANDS = st.lists(WORDS, min_size=1, max_size=4)
PLACES = st.lists(st.integers(0, 20_000), max_size=12)


@settings(deadline=None)
@given(st.lists(COMMANDS, max_size=12), PLACES)
def test_commands_arrive_whole_however_they_are_cut(
    commands: list[list[bytes]], places: list[int]
) -> None:
    data = b"".join(wire(*words) for words in commands)
    assert feed_all(cut(data, places)) == (commands, None)


def test_commands_arrive_whole_byte_by_byte() -> None:
    commands = [[b"INCR", b"k"], [b"SET", b"a\r\nb", b"*99999"], [b"PING"]]
    data = b"".join(wire(*words) for words in commands)
    assert feed_all([data[n : n + 1] for n in range(len(data))]) == (commands, None)


FRAGMENTS = st.sampled_from(
    [
        wire(b"INCR", b"k"), wire(b"PING"), b"PING\r\n", b"ping\n", b"\r\n", b"\n", b"*0\r\n",
        b"*-1\r\n", b"*-10\r\n", b"*1\r\n",
        b"$4\r\nPING\r\n", b"$1\r\nxyz", b"*2\r\n$4\r\nECHO\r\n$-1\r\n", b"*1\r\n+PING\r\n",
        b"*1\r\n:1\r\n", b"*1\r\n(1\r\n",
        b"#f\r\n", b"#t\r\n", b"_\r\n", b"+OK\r\n", b"-ERR\r\n", b",1.25\r\n", b"~1\r\n$1\r\na\r\n",
        b"%1\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"*1\r\n*1\r\n$1\r\na\r\n", b"*01\r\n", b"*1\n$1\na\n", b"*1000000000\r\n", b"*70000\r\n",
        b"*65536\r\n", b"$", b"*", b"\r",
        b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", b'set "a b" \'c\\\'d\' "\\x41\\n\\"" e\r\n',
        b'set "a"b\r\n', b"set 'a\r\n", b"*a\r\n",
        b"$99999999\r\n", b"*1\r\n$99999999\r\n", b"*1\r\n$blabla\r\n", b"\x00\xff\r\n",
        b"*1\r\n=5\r\ntxt:a\r\n", b"*1\r\n,1.5\r\n",
        b"*1\r\n|1\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", b"*2\r\n$1\r\na\r\n", b"$30\r\nab",
        b">1\r\n$1\r\na\r\n",
        b"|1\r\n$1\r\na\r\n$1\r\nb\r\n", b"*1\r\n$6\r\nab", b"*1\r\n$2\r\nab",
    ]
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(st.one_of(FRAGMENTS, st.binary(max_size=6)), max_size=8), PLACES)
@example([b"*0\r\n", wire(b"INCR", b"k"), b"*1\r\n$4\r\nPI"], [])
@example([wire(b"INCR", b"k"), b"~1\r\n$1\r\na\r\n"], [])
@example([b"*1\r\n$2\r\nab", b"\0\0", b"~1\r\n$1\r\na\r\n"], [])
@example([b"*1\r\n$2\r\nab", b"\0\0", b"~1\r\n$1\r\na\r\n", b"*1\r\n$6\r\nab"], [3])
@example([wire(b"INCR", b"k"), b"|1\r\n$1\r\na\r\n$1\r\nb\r\n", wire(b"PING")], [])
@example([wire(b"INCR", b"k"), b"#f\r\n", wire(b"PING")], [])
def test_nonsense_is_understood_alike_however_it_is_cut(
    fragments: list[bytes], places: list[int]
) -> None:
    """In one piece it may go the fast way; byte by byte it never does."""
    data = b"".join(fragments)
    careful = feed_all([data[n : n + 1] for n in range(len(data))])
    assert feed_all([data]) == careful
    assert feed_all(cut(data, places)) == careful


OWN_ERRORS = [
    (
        b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$5000000\r\n",
        "invalid bulk length: 5000000; at most 4194304 bytes in a command, send several",
    ),
]
"""Where our limit is lower than Redis's."""


@pytest.mark.parametrize(
    ("data", "text"),
    [*ERRORS, *OWN_ERRORS],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_are_those_of_redis_and_come_after_the_commands_before_them(
    data: bytes, text: str
) -> None:
    assert feed_all([wire(b"INCR", b"k") + data]) == (
        [[b"INCR", b"k"]],
        f"ERR Protocol error: {text}",
    )


def test_empty_commands_are_passed_over() -> None:
    data = b"\r\n*0\r\n*-5\r\n" + wire(b"PING") + b"*0\r\n" + b"  \r\n"
    assert feed_all([data]) == ([[b"PING"]], None)
    assert feed_all([b"*0\r\n" + wire(b"PING") + b"*0\r\n"]) == ([[b"PING"]], None)


def test_a_person_may_type_and_a_program_may_follow() -> None:
    data = b"PING\r\n" + wire(b"INCR", b"k") + b"  set  k \"a b\\x41\\t\" 'it\\'s'\n"
    assert feed_all([data]) == (
        [[b"PING"], [b"INCR", b"k"], [b"set", b"k", b"a bA\t", b"it's"]],
        None,
    )


def test_many_words_are_taken_up_to_the_limit_and_not_beyond() -> None:
    words = [b"DEL", *[b"k"] * (MAX_ARGUMENTS - 1)]
    assert feed_all([wire(*words)]) == ([words], None)
    assert feed_all([wire(*words, b"k")]) == (
        [],
        "ERR Protocol error: invalid multibulk length: 65537; at most 65536 words in a command, "
        "send several",
    )


def test_a_request_has_a_limit_of_bytes() -> None:
    half = b"x" * (MAX_REQUEST_BYTES // 2)
    data = wire(b"DEL", half, half)
    too_large = f"ERR Protocol error: request over {MAX_REQUEST_BYTES} bytes; send several commands"
    assert feed_all([data]) == ([], too_large)
    assert feed_all([data[n : n + 65_536] for n in range(0, len(data), 65_536)]) == ([], too_large)
    fits = wire(b"ECHO", b"x" * (MAX_REQUEST_BYTES - 1_000))
    assert feed_all([fits[n : n + 65_536] for n in range(0, len(fits), 65_536)])[1] is None


HEADERS = [
    b"*1000000000\r\n",
    wire(b"PING") + b"*1000000000\r\n",
    b"*1\r\n*1000000000\r\n",
    wire(b"a") + b"*4294967295\r\n",
]


@pytest.mark.parametrize("header", HEADERS)
def test_an_absurd_header_reserves_no_memory(header: bytes) -> None:
    """hiredis alone reserves 8 GB of addresses for the first of these, and takes 3 s to give them
    back."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sizes = []
    begin = time.perf_counter()
    for pieces in (
        [header],
        [header[:3], header[3:]],
        [header[n : n + 1] for n in range(len(header))],
    ):
        assert feed_all(pieces)[1] is not None
        sizes.append(_virtual_pages())
    assert time.perf_counter() - begin < 0.5
    assert max(sizes) - min(sizes) < 100_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def _virtual_pages() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0])


def test_a_command_costs_the_same_however_it_is_cut() -> None:
    data = wire(b"DEL", *[b"key:%d" % n for n in range(30_000)])
    begin = time.perf_counter()
    assert len(feed_all([data[n : n + 10] for n in range(0, len(data), 10)])[0]) == 1
    assert time.perf_counter() - begin < 3


def test_a_large_word_in_small_pieces_is_not_searched_again_and_again() -> None:
    data = wire(b"ECHO", b"\n" * 3_000_000)
    begin = time.perf_counter()
    assert len(feed_all([data[n : n + 100] for n in range(0, len(data), 100)])[0]) == 1
    assert time.perf_counter() - begin < 3
