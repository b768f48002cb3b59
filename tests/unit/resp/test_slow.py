"""What is long is taken apart, and made into bytes, in slices, with the same outcome as at once.
Counted in slices, not in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from counter_node.counters import ops as o
from counter_node.counters.replies import NO_LIST, OK, Failure, Listing, larger_than
from counter_node.resp import encode
from counter_node.resp.actions import Again, Read, Reply, Slow, Write
from counter_node.resp.commands import CATALOGUE
from counter_node.resp.dispatch import begin, handle, new_session
from counter_node.resp.session import QUEUED_BYTES, Session
from counter_node.resp.transactions import AT_ONCE, lost
from counter_node.security.refusals import Refusals
from counter_node.users.access import NO_KEY, Access
from hypothesis import given
from hypothesis import strategies as st

NAMES = [b"n:%d" % n for n in range(30_000)]
MSET = [b"MSET", *(word for name in NAMES for word in (name, b"7"))]


def session() -> Session:
    return new_session(1, "127.0.0.1:5", "", admin=False)


def in_slices(of: Session, words: list[bytes]) -> tuple[Any, int]:
    found = begin(of, words)
    assert isinstance(found, Slow)
    slices = 1
    while (action := found.step()) is None:
        slices += 1
    return action, slices


def queued(of: Session, *commands: list[bytes]) -> Session:
    handle(of, [b"MULTI"])
    for words in commands:
        assert handle(of, words)
    return of


def test_mset_of_many_names() -> None:
    action, slices = in_slices(session(), MSET)
    assert slices > 50
    assert isinstance(action, Write)
    assert action.op == [o.MSET, [x for name in NAMES for x in (name, 7)], False]
    wrong, _ = in_slices(session(), [*MSET, b"k", b"no number"])
    assert isinstance(wrong, Reply)
    assert wrong.value == b"ERR value is not an integer or out of range"
    assert isinstance(begin(session(), MSET[:201]), Write)


def test_a_long_transaction() -> None:
    many = [[b"INCRBY", name, b"2"] for name in NAMES[:9_000]]
    action, slices = in_slices(queued(session(), *many), [b"EXEC"])
    assert slices > 9_000 // AT_ONCE
    assert action.op == [o.MULTI, [[o.INCRBY, name, 2] for name in NAMES[:9_000]]]
    assert action.held > 9_000 * QUEUED_BYTES, "what waits for its outcome counts"
    action, slices = in_slices(
        queued(session(), MSET, [b"MSET", b"k", b"x"], [b"GET", b"k"]), [b"EXEC"]
    )
    assert slices > 50
    assert [op[0] for op in action.op[1]] == [o.MSET, o.CONSTANT, o.GET]


def test_what_idmp_ends_or_holds() -> None:
    action, slices = in_slices(queued(session(), MSET), [b"IDMP", b"p", b"1", b"EXEC"])
    assert (slices > 50, action.op[:4], action.op[4][0]) == (
        True,
        [o.IDMP_OF, b"default", b"p", 1],
        o.MULTI,
    )
    action, _ = in_slices(session(), [b"IDMP", b"p", b"1", *MSET])
    assert action.op[4][:1] == [o.MSET]
    action, _ = in_slices(session(), [b"IDMP", b"p", b"1", *MSET, b"k", b"x"])
    assert action.op[4][0] == o.CONSTANT, "the error takes the sequence"


def test_a_watch_is_there_until_the_transaction_is_taken_apart() -> None:
    """Who is gone in the middle of it must still forget what it watches."""
    of = session()
    handle(of, [b"WATCH", b"k"])
    queued(of, *([b"INCR", name] for name in NAMES[:2_000]), [b"UNWATCH"])
    found = begin(of, [b"EXEC"])
    assert isinstance(found, Slow)
    assert found.step() is None
    assert of.queue is None
    assert of.held_bytes > 2_000 * QUEUED_BYTES
    gone = lost(of)
    assert isinstance(gone, Write)
    assert gone.op[0] == o.UNWATCH
    action = found.finish()
    assert isinstance(action, Write)
    assert (action.op[0], of.watching, of.held_bytes) == (o.EXEC_IF, 0, 0)
    assert isinstance(lost(of), Reply)


def test_rights_to_many_keys(tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text("user default on nopass ~n:* +@all\n")
    of = session()
    of.access = Access(users, CATALOGUE, Refusals())
    of.access.settle(of)
    assert of.guarded
    action, slices = in_slices(of, [b"DEL", *NAMES])
    assert slices >= len(NAMES) // 1_000
    assert isinstance(action, Write)
    action, _ = in_slices(of, [b"MGET", *NAMES, b"other"])
    assert isinstance(action, Reply)
    assert action.value == NO_KEY
    assert isinstance(begin(of, [b"MGET", *NAMES[:9]]), Read)
    for name in (b"HELLO", b"AUTH", b"COMMAND", b"CLIENT", b"nonsense"):
        assert not isinstance(begin(of, [name, *NAMES]), Slow | Again), (
            "no login is taken apart in slices"
        )


# --- replies to bytes -----------------------------------------------------------------------------

LEAVES = st.one_of(
    st.integers(-5, 10**9),
    st.binary(max_size=3),
    st.none(),
    st.just(OK),
    st.just(Failure(b"ERR x")),
    st.just(NO_LIST),
)
REPLIES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=12), max_leaves=60)


@given(
    st.lists(
        st.one_of(REPLIES, st.just(Listing(2, [b"$1\r\na\r\n", b"$1\r\nb\r\n"]))), max_size=12
    ),
    st.integers(1, 9),
    st.sampled_from([2, 3]),
)
def test_the_pieces_are_the_whole(replies: list[Any], most: int, protocol: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "PIECE", most)
        assert b"".join(encode.in_pieces(replies, protocol)) == encode.encode_many(
            replies, protocol
        )


def test_no_piece_holds_much() -> None:
    names = [b"name"] * 300
    for replies in (
        [names * 200],
        [[names] * 200],
        [names] * 200,
        [[[b"0", names * 30], 1] * 50],
        [1] * 5_000,
    ):
        assert encode.are_long(replies)
        pieces = list(encode.in_pieces(replies, 2))
        assert max(map(len, pieces)) < 12 * encode.PIECE
        assert b"".join(pieces) == encode.encode_many(replies, 2)
    assert not encode.are_long([1, [2, 2], b"three", names])


def test_a_long_reply_is_known_without_a_look_at_all_of_it() -> None:
    assert larger_than([1, [2, 3], [[4] * 9]], 9)
    assert not larger_than([1, [2, 3], [[4] * 3]], 9)
    assert not larger_than(7, 1)
