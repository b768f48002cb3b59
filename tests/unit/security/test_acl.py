"""Rules of users, as Redis reads them."""

from __future__ import annotations

import hashlib

import pytest
from counter_node.resp.commands import CATALOGUE
from counter_node.security.acl import Acl, AclError


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
    acl = Acl(f"user a on >one #{hashlib.sha256(b'two').hexdigest()}\nuser b off >three\nuser c on\n", CATALOGUE)
    assert acl.check("a", b"one")
    assert acl.check("a", b"two")
    assert not acl.check("a", b"")
    assert not acl.check("b", b"three")  # is off
    assert not acl.check("c", b"")  # has no password, and not `nopass`
    assert not acl.check("nobody", b"")
    assert "one" not in acl.users["a"].line()


def test_patterns_of_keys_for_reading_and_writing() -> None:
    user = Acl("user a on nopass +@all ~own:* %R~seen:* %W~written:*", CATALOGUE).users["a"]
    assert user.may_use_keys([b"own:1", b"seen:1"], write=False)
    assert not user.may_use_keys([b"own:1", b"seen:1"], write=True)
    assert user.may_use_keys([b"written:1"], write=True)
    assert not user.may_use_keys([b"written:1"], write=False)
    assert not user.may_use_keys([b"xown:1"], write=False)


@pytest.mark.parametrize("rule", ["+none", "+@none", "%X~a", "~", "%~a", "#12", "hello"])
def test_what_is_not_understood_is_refused_with_its_line(rule: str) -> None:
    with pytest.raises(AclError, match="line 2, user a"):
        Acl(f"\nuser a on >secret {rule}", CATALOGUE)
