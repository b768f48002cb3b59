"""Lines of limits in the file of users: what they say, what a broken file leaves, and what the
operator writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from counter_node.counters.batches import UserLimits, decode, encode
from counter_node.resp.commands import CATALOGUE
from counter_node.security.acl import Acl, AclError
from counter_node.security.limits import Limits, limits
from counter_node.security.taken import remaining
from counter_node.users.file import UsersFile
from countercluster_operator.credentials.users import NOBODY, Users, judged, of_file
from countercluster_operator.credentials.users import limits as lines_of
from countercluster_operator.model import Auth, Cluster, SecretKey, Spec, User
from countercluster_operator.model import UserLimits as InSpec

from tests.support.unit.limited_users import FILE


def test_a_line_of_limits_is_about_one_user_wherever_it_stands() -> None:
    acl = Acl(
        f"#limits root commands=7\n{FILE}#limits app keys=0 bytes=90\n# limits seen "
        f"keys=1\n#strict-patterns\n",
        CATALOGUE,
    )
    assert {name: user.limits for name, user in acl.users.items()} == {
        "default": None,
        "app": Limits(0, 90, None),
        "root": Limits(None, None, 7),
        "seen": None,
    }
    assert acl.strict
    assert acl.user_limits == ((b"app", 0, 90),), "how fast is no matter of the log"
    assert not Acl(FILE, CATALOGUE).strict


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#limits", "line 1: a line of limits is: #limits NAME keys=N bytes=N commands=N"),
        ("#limits app", "line 1, limits of user app: a line of limits has"),
        ("#limits app key=1", "a limit is keys=N, bytes=N or commands=N, each once; not 'key=1'"),
        ("#limits app keys=1 keys=2", "each once; not 'keys=2'"),
        ("#limits app keys", "not 'keys'"),
        ("#limits app keys=-1", "keys is '-1'; a whole number from 0 on"),
        ("#limits app keys=", "keys is ''"),
        ("#limits app keys=²", "keys is '²'"),
        ("#limits app bytes=1e6", "bytes is '1e6'"),
        ("#limits app commands=0", "commands is '0'; a whole number from 1 on"),
        ("#limits app keys=" + "9" * 400, "keys is '999"),
        ("#limits app keys=" + "0" * 40 + "9" * 40, "keys is '000"),
        ("#limits app bytes=" + "0" * 25 + str(1 << 63), "bytes is '000"),
        ("#limits app commands=" + "0" * 25, "commands is '000"),
        ("#limits nobody keys=1", "line 1: there is no user nobody"),
        ("#limits app keys=1\n#limits app bytes=1", "line 2: limits of user app are there twice"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_number(line: str, words: str) -> None:
    with pytest.raises(AclError) as error:
        Acl(f"{line}\n{FILE}", CATALOGUE)
    assert words in str(error.value)


def test_whatever_limit_is_taken_fits_into_the_log() -> None:
    """Zeros before a number hid that it was too large, and each leader ended when it put it into
    the log."""
    acl = Acl(f"{FILE}#limits app keys={'0' * 30}{(1 << 63) - 1} bytes=00\n", CATALOGUE)
    assert acl.user_limits == ((b"app", (1 << 63) - 1, 0),)
    assert decode(encode(UserLimits(acl.user_limits))) == UserLimits(acl.user_limits)


def test_the_copy_of_a_node_has_the_limits_and_a_broken_file_leaves_them(tmp_path: Path) -> None:
    path = tmp_path / "users.acl"
    path.write_text(FILE + "#limits app keys=3 commands=9\n#strict-patterns\n")
    first = UsersFile(path, CATALOGUE, tmp_path)
    first.keep()
    first.close()
    path.write_text(FILE + "#limits app keys=many\n")
    for file in (UsersFile(path, CATALOGUE, tmp_path), first):
        assert "keys is 'many'" in file.error or file is first
        assert file.acl.users["app"].limits == Limits(3, None, 9)
        assert file.acl.strict
    left = remaining(first.acl, FILE + "#limits app keys=many\n", CATALOGUE)
    assert left.users["app"].limits == Limits(3, None, 9)
    assert left.strict


def test_a_broken_file_takes_away_by_its_limits_as_well() -> None:
    last = Acl(FILE + "#limits app keys=3 commands=9\n", CATALOGUE)
    broken = "user broken +@nonsense\n#limits app keys=5 bytes=7 commands=4\n#strict-patterns\n"
    left = remaining(last, FILE + broken + "#limits root keys=1\n#limits seen keys=-\n", CATALOGUE)
    assert left.users["app"].limits == Limits(3, 7, 4)
    assert left.users["root"].limits == Limits(1)
    assert left.users["seen"].limits is None
    assert left.strict
    assert not last.strict
    assert not remaining(last, FILE + "user broken +@nonsense\n", CATALOGUE).strict


def test_redis_and_older_nodes_take_the_lines_for_comments() -> None:
    for line in (Limits(1, 2, 3).line("app"), "#strict-patterns"):
        assert line.startswith("#")
    assert limits(Limits(1, 2, 3).line("app").split()[2:]) == Limits(1, 2, 3)


def cluster(*users: tuple[str, InSpec], strict: bool = False, acl: str = "") -> Cluster:
    wanted = [User(name, "~* +@all", SecretKey("s"), most) for name, most in users]
    auth = Auth(users=wanted, strict_patterns=strict, acl_secret_name=acl)
    return Cluster("c", "ns", "uid", 1, Spec(auth=auth), "image", "cache")


def test_what_the_spec_limits_stands_in_the_file_in_lines_that_a_node_understands() -> None:
    wanted = cluster(
        ("app", InSpec(5, None, 50)), ("free", InSpec()), ("later", InSpec(1)), strict=True
    )
    users, _ = judged(wanted, {"app": b"a", "free": b"f"}, None, NOBODY)
    text = lines_of(wanted, users)
    assert text == "#limits app keys=5 commands=50\n#strict-patterns\n", (
        "who has no password yet is no user yet"
    )
    acl = Acl(users.spec + text, CATALOGUE)
    assert (acl.users["app"].limits, acl.users["free"].limits, acl.strict) == (
        Limits(5, None, 50),
        None,
        True,
    )
    assert of_file(f"user default on #x ~* +@all\n{users.spec}{text}", wanted) == users
    assert lines_of(cluster(("app", InSpec())), users) == ""


def test_a_file_of_ones_own_may_have_limits_of_its_own_users() -> None:
    file = b"# ours\n#limits ops keys=5\nuser ops on >word ~* +@all\n#strict-patterns\n"
    wanted = cluster(("app", InSpec(1)), acl="mine")
    found, problems = judged(wanted, {"app": b"a"}, file, NOBODY)
    assert (found.file, problems) == ("#limits ops keys=5\nuser ops on >word ~* +@all\n", [])
    whole = f"user default on #x ~* +@all\n{found.spec}{found.file}{lines_of(wanted, found)}"
    assert of_file(whole, wanted) == found
    for bad, words in (
        (b"#limits app keys=1\nuser ops on\n", "line 1: user app is in spec.auth.users too"),
        (b"#limits ops keys=x\nuser ops on\n", "keys is 'x'"),
        (
            b"".join(b"user u%d on\n#limits u%d keys=1\n" % (n, n) for n in range(1_001)),
            "it limits 1001 users; at most 1000",
        ),
    ):
        assert words in judged(wanted, {"app": b"a"}, bad, Users())[1][0]


def test_a_row_of_limits_has_one() -> None:
    assert not Limits().of_counters
    assert not Limits(commands=1).of_counters
    assert dataclasses.replace(Limits(), keys=0).of_counters
