"""Rules of users, as Redis reads them."""

from __future__ import annotations

import hashlib

import pytest
from counter_node.counters.keyspace import compiled
from counter_node.resp.commands import CATALOGUE, TABLE
from counter_node.resp.dispatch import new_session
from counter_node.security.acl import Acl, AclError, applied
from counter_node.security.refusals import Refusals
from counter_node.users.access import NO_KEY, Access


def test_without_a_file_everybody_may_do_everything() -> None:
    acl = Acl(None, CATALOGUE)
    assert acl.open is not None
    assert acl.open.all_keys
    assert acl.open.commands == CATALOGUE.commands


def test_rules_are_read_from_left_to_right() -> None:
    user = Acl("user a on nopass ~* +@all -@write +incr -client|kill", CATALOGUE).users["a"]
    assert "incr" in user.commands
    assert "set" not in user.commands
    assert "client|kill" not in user.commands
    assert "client|id" in user.commands
    assert Acl("user a on nopass +incr -@all", CATALOGUE).users["a"].commands == frozenset()


def test_every_command_that_writes_is_in_write_and_none_of_them_in_read() -> None:
    assert {"incr", "set", "del", "flushall", "idmp"} <= CATALOGUE.categories["write"]
    assert {"get", "mget", "scan", "ttl"} <= CATALOGUE.categories["read"]
    assert not CATALOGUE.categories["write"] & CATALOGUE.categories["read"]
    assert {"client|kill", "acl|list"} <= CATALOGUE.categories["admin"]


def test_passwords_are_kept_as_hashes_and_several_are_good() -> None:
    acl = Acl(
        f"user a on >one #{hashlib.sha256(b'two').hexdigest()}\nuser b off >three\nuser c on\n",
        CATALOGUE,
    )
    assert acl.check("a", b"one")
    assert acl.check("a", b"two")
    assert not acl.check("a", b"")
    assert not acl.check("b", b"three")  # is off
    assert not acl.check("c", b"")  # has no password, and not `nopass`
    assert not acl.check("nobody", b"")
    assert "one" not in acl.users["a"].line()


def test_patterns_of_keys_for_reading_and_writing() -> None:
    user = Acl("user a on nopass +@all ~own:* %R~seen:* %W~written:*", CATALOGUE).users["a"]
    assert user.may_use_keys([b"own:1", b"seen:1"], read=True)
    assert not user.may_use_keys([b"own:1", b"seen:1"], write=True)
    assert user.may_use_keys([b"written:1"], write=True)
    assert not user.may_use_keys([b"written:1"], read=True)
    assert not user.may_use_keys([b"xown:1"], read=True)
    assert user.may_use_keys([b"own:1"], read=True, write=True)
    assert not user.may_use_keys([b"written:1"], read=True, write=True)


@pytest.mark.parametrize(
    ("line", "tells"),
    [
        ("GET k", True), ("INCR k", True), ("DECRBY k 0", True), ("INCREX k BYINT 0", True),
        ("GETSET k 1", True), ("GETDEL k", True),
        ("GETEX k", True), ("SET k 1 GET", True), ("SET k 1 NX get", True), ("SET k 1 IFEQ 1",
        True), ("SET k 1 EX 5 IFNE 1", True),
        ("MGET k", True), ("WATCH k", True), ("EXISTS k", True), ("SET k 1", False),
        ("SET k 1 NX EX 5", False), ("SETNX k 1", False),
        ("MSET k 1", False), ("SETEX k 5 1", False), ("DEL k", False), ("EXPIRE k 5", False),
        ("PERSIST k", False),
    ],
)  # fmt: skip
def test_what_tells_a_value_needs_the_right_to_read_it(line: str, tells: bool) -> None:
    words = line.encode().split()
    assert TABLE[words[0]].answers_with_value(words) is tells
    access = Access(None, CATALOGUE, Refusals())
    access.file.acl = Acl("user default on nopass +@all %W~k", CATALOGUE)
    session = new_session(1, "", "", admin=False)
    session.access = access
    access.settle(session)
    for given in (words, [b"IDMP", b"p", b"1", *words]):
        assert (access.refusal(session, TABLE[given[0]], given) == NO_KEY) is tells


@pytest.mark.parametrize("count", range(6))
@pytest.mark.parametrize("word", [b"", b"0", b"3", b"99999999", b"\xb2", b"x"])
def test_commands_of_too_few_words_are_judged_and_end_nobody(count: int, word: bytes) -> None:
    """`IDMP p 1 EVAL script` of a user with patterns ended its connection with an IndexError: the
    rights are asked before the words of the inner command are counted."""
    access = Access(None, CATALOGUE, Refusals())
    access.file.acl = Acl("user default on nopass +@all ~k*", CATALOGUE)
    session = new_session(1, "", "", admin=False)
    session.access = access
    access.settle(session)
    for name in TABLE:
        words = [name, *[word] * count]
        for given in (words, [b"IDMP", b"p", b"1", *words]):
            access.refusal(session, TABLE[given[0]], given)


def test_a_user_with_many_patterns_waits_for_none_of_them() -> None:
    """Three hundred took 22 ms to compile, at the first command and again whenever others had
    pushed them out."""
    names = " ".join(f"~tenant-{n}:* %R~shared-{n}" for n in range(1_000))
    user = Acl(f"user a on nopass +@all {names} ~odd-?-[ab]", CATALOGUE).users["a"]
    before = compiled.cache_info().misses
    assert user.may_use_keys([b"tenant-999:x", b"shared-0", b"odd-1-b"], read=True)
    assert not user.may_use_keys([b"shared-0"], write=True)
    assert not user.may_use_keys([b"tenant-9:x", b"tenant-1000:x"], read=True)
    assert compiled.cache_info().misses - before <= 1, (
        "only what is no name and no beginning of one"
    )
    assert user.matches, "they are kept with the user"
    assert not applied(user, "resetkeys", CATALOGUE).may_use_keys([b"shared-0"], read=True)


@pytest.mark.parametrize("rule", ["+none", "+@none", "%X~a", "~", "%~a", "#12", "hello"])
def test_what_is_not_understood_is_refused_with_its_line(rule: str) -> None:
    with pytest.raises(AclError, match="line 2, user a"):
        Acl(f"\nuser a on >secret {rule}", CATALOGUE)
