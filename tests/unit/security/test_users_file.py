"""The file of users when it is empty, broken, gone, and what a node remembers of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from counter_node.resp.commands import CATALOGUE
from counter_node.security.acl import Acl, AclError
from counter_node.security.taken import remaining
from counter_node.security.tls import CertificateError, Tls
from counter_node.users.file import KEPT, UsersFile
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = (
    "user default off\nuser app on >apple ~app:* +@read +@write\nuser root on >root-pass ~* +@all\n"
)
RULES = [
    "on",
    "off",
    "nopass",
    "resetpass",
    "reset",
    ">one",
    ">two",
    "allkeys",
    "resetkeys",
    "~a:*",
    "%R~b",
    "~*",
    "+@all",
    "-@all",
    "+@read",
]
RULES += [
    "+client",
    "-client|kill",
    "+client|id",
    "-get",
    "+get",
    "-@write",
    "allcommands",
    "+nothing",
    "%X~a",
    "nonsense",
]
lines = st.lists(
    st.tuples(st.sampled_from(["default", "a", "b"]), st.lists(st.sampled_from(RULES), max_size=6)),
    max_size=4,
)


def file_of(found: list[tuple[str, list[str]]]) -> str:
    return "".join(f"user {name} {' '.join(rules)}\n" for name, rules in found)


def parsed(text: str) -> Acl | None:
    try:
        return Acl(text, CATALOGUE)
    except AclError:
        return None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# user default on nopass ~* +@all\n",
        "user a on >b ~* +@all\n",
        "user default\n",
    ],
)
def test_the_absence_of_a_rule_is_a_refusal(text: str) -> None:
    acl = Acl(text, CATALOGUE)
    assert acl.open is None
    assert acl.check("default", b"") is None
    assert not acl.users["default"].commands
    assert not acl.users["default"].patterns


@settings(deadline=None)
@given(lines)
def test_the_copy_means_what_the_file_meant(found: list[tuple[str, list[str]]]) -> None:
    acl = parsed(file_of(found))
    if acl is None:
        return
    copy = Acl(acl.text, CATALOGUE)
    assert {
        n: (u.enabled, u.no_password, u.hashes, u.patterns, u.commands)
        for n, u in copy.users.items()
    } == {
        n: (u.enabled, u.no_password, u.hashes, u.patterns, u.commands)
        for n, u in acl.users.items()
    }


@settings(deadline=None)
@given(lines, lines)
def test_a_file_that_cannot_be_used_gives_nothing(
    before: list[tuple[str, list[str]]], after: list[tuple[str, list[str]]]
) -> None:
    last = parsed(file_of(before))
    if last is None:
        return
    left = remaining(last, file_of(after), CATALOGUE)
    assert Acl(left.text, CATALOGUE).users.keys() == left.users.keys()
    for name, user in left.users.items():
        old = last.users[name]
        assert user.enabled <= old.enabled
        assert user.no_password <= old.no_password
        assert set(user.hashes) <= set(old.hashes)
        assert user.commands <= old.commands
        assert Acl(left.text, CATALOGUE).users[name].commands == user.commands
        for key in (b"a:1", b"b", b"c"):
            for rights in ({"read": True}, {"write": True}, {"read": True, "write": True}):
                assert user.may_use_keys([key], **rights) <= old.may_use_keys([key], **rights)


def test_a_broken_file_takes_away_what_it_plainly_does_not_grant() -> None:
    last = Acl(GOOD + "user gone on >g ~* +@all\nuser less on >l ~* +@all\n", CATALOGUE)
    new = (
        "user default off\nuser app off ~app:* +@read +@nonsense\nuser root on >another ~* "
        "+@all\nuser less on >l ~l:* +@read\n"
    )
    left = remaining(last, new, CATALOGUE).users
    assert not left["app"].enabled
    assert left["app"].commands == last.users["app"].commands, "that line is not understood"
    assert left["root"].enabled
    assert not left["root"].hashes, "the old password was taken away"
    assert "gone" not in left
    assert left["less"].commands == CATALOGUE.categories["read"]
    assert [str(p) for p in left["less"].patterns] == ["~l:*"]


@pytest.mark.parametrize("damage", ["gone", "not utf-8", "too long", "directory"])
def test_a_file_that_cannot_be_read_leaves_the_last_good_one_in_force_also_after_a_restart(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "users.acl"
    path.write_text(GOOD)
    first = UsersFile(path, CATALOGUE, tmp_path)
    first.keep()
    digest = hashlib.sha256(GOOD.encode()).hexdigest()[:16]
    assert (first.digest, first.error) == (digest, "")
    path.unlink()
    if damage == "directory":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(b"user a on \xff" if damage == "not utf-8" else b"#" * (1 << 21))
    assert first.changed()
    assert not first.read_again()
    first.close()
    again = UsersFile(path, CATALOGUE, tmp_path)
    for users in (first, again):
        assert users.digest == digest
        assert str(path) in users.error
        assert users.acl.check("root", b"root-pass")
    assert b"root-pass" not in (tmp_path / KEPT).read_bytes()
    assert (tmp_path / KEPT).stat().st_mode & 0o077 == 0


def test_what_a_broken_file_took_away_stays_away_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text(GOOD)
    first = UsersFile(path, CATALOGUE, tmp_path)
    first.keep()
    path.write_text("user root on >root-pass ~* +@all\nuser app off\nhello\n")
    assert not first.read_again()
    first.close()
    path.unlink()
    again = UsersFile(path, CATALOGUE, tmp_path)
    assert again.acl.check("app", b"apple") is None
    assert again.acl.check("root", b"root-pass")


def test_a_file_without_users_is_reported_and_one_that_is_whole_again_is_used(
    tmp_path: Path,
) -> None:
    path = tmp_path / "users.acl"
    path.write_text("")
    users = UsersFile(path, CATALOGUE)
    assert users.acl.open is None
    assert "names no user" in users.error
    path.write_text(GOOD)
    assert users.read_again()
    assert users.error == ""
    assert users.acl.check("app", b"apple")


def test_without_file_and_copy_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(AclError, match=r"users\.acl"):
        UsersFile(tmp_path / "users.acl", CATALOGUE, tmp_path)
    (tmp_path / KEPT).write_text("user default on nopass ~* +@all\n")  # not written by a node
    with pytest.raises(AclError, match=r"users\.acl"):
        UsersFile(tmp_path / "users.acl", CATALOGUE, tmp_path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_what_is_no_file_holds_nobody_and_leaves_the_last_good_one(
    kind: str, tmp_path: Path
) -> None:
    """A pipe without a writer held the whole node until it was killed."""
    path = tmp_path / "users.acl"
    path.write_text(GOOD)
    users = UsersFile(path, CATALOGUE)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert users.changed()
    assert not users.read_again()
    assert users.acl.users["root"].enabled
    assert users.error
    with pytest.raises(AclError):
        UsersFile(path, CATALOGUE)
    users.close()


@pytest.mark.timeout(20)
def test_a_certificate_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    for name in ("tls.crt", "tls.key", "ca.crt"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(CertificateError, match="no regular file"):
        Tls(tmp_path, "ns/c", "c-0")
