"""Users of the spec, judged by the parser of the node before a node sees them; what was good last
stays."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from counter_node.resp.commands import CATALOGUE
from counter_node.security.acl import Acl
from countercluster_operator.credentials.users import NOBODY, Users, fault_of, judged, of_file
from countercluster_operator.model import Auth, Cluster, SecretKey, Spec, User

HASH = hashlib.sha256(b"word").hexdigest()
WORD = {"app": b"word"}


def cluster(*users: tuple[str, str], acl: str = "") -> Cluster:
    wanted = [User(name, rules, SecretKey("s")) for name, rules in users]
    return Cluster(
        "c", "ns", "uid", 1, Spec(auth=Auth(users=wanted, acl_secret_name=acl)), "image", "cache"
    )


def test_a_good_user_is_a_line_of_the_file() -> None:
    found, problems = judged(cluster(("app", "~app:*  +@read")), WORD, None, NOBODY)
    assert (found.spec, problems) == (f"user app on #{HASH} ~app:*  +@read\n", [])
    Acl(found.spec, CATALOGUE)


@pytest.mark.parametrize(
    "word", ["+@wrte", "+nosuch", "+@", "~", "%X~a", "nonsense", "app:*", "+get|nosuch", "-@wirte"]
)
def test_the_first_wrong_word_is_named_with_its_user(word: str) -> None:
    _, problems = judged(cluster(("app", f"~app:* +@read {word} +@alsowrong")), WORD, None, NOBODY)
    assert len(problems) == 1
    assert f"spec.auth.users: app: {word!r} in its rules" in problems[0]
    assert "it cannot log in" in problems[0]
    assert "+@alsowrong" not in problems[0]


@pytest.mark.parametrize("word", [">secret", "#" + "0" * 64, "nopass", "off", "reset", "resetpass"])
def test_a_word_that_undoes_the_password_is_refused_and_shows_none(word: str) -> None:
    fault = fault_of("app", f"+@read {word}")
    assert "passwordSecret" in fault
    assert "secret" not in fault.replace("passwordSecret", "")


def test_the_last_good_rules_stay_and_only_for_the_user_that_is_wrong() -> None:
    last, _ = judged(
        cluster(("app", "~app:* +@read"), ("reports", "+get")),
        {"app": b"word", "reports": b"r"},
        None,
        NOBODY,
    )
    wanted = cluster(("app", "~app:* +@wrte"), ("reports", "+get +set"))
    found, problems = judged(wanted, {"app": b"new", "reports": b"r"}, None, last)
    app, reports = found.spec.splitlines()
    assert app == f"user app on #{hashlib.sha256(b'new').hexdigest()} ~app:* +@read", (
        "its new password is in force all the same"
    )
    assert reports.endswith("+get +set")
    assert len(problems) == 1
    assert "last good rules" in problems[0]
    assert judged(cluster(), {}, None, found)[0] == NOBODY, "who is taken out is out"


def test_a_password_whose_secret_is_gone_stays() -> None:
    last, _ = judged(cluster(("app", "+get")), WORD, None, NOBODY)
    assert (
        judged(cluster(("app", "+get +set")), {}, None, last)[0].spec
        == f"user app on #{HASH} +get +set\n"
    )
    assert judged(cluster(("app", "+get")), {}, None, NOBODY)[0] == NOBODY


def test_of_a_file_the_line_of_default_does_not_count_and_comments_go() -> None:
    file = b"# ours\nuser default on nopass ~* +@all\n\nuser ops on >word ~* +@all\n"
    found, problems = judged(cluster(acl="mine"), {}, file, NOBODY)
    assert (found.file, problems) == ("user ops on >word ~* +@all\n", [])


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"user ops on +@wrte\n", "line 1, user ops: there is no category @wrte"),
        (b"user default on\nuser ops on hello\n", "line 2, user ops: a rule is"),
        (b"user app on +get\n", "line 1: user app is in spec.auth.users too"),
        (b"user a on\nuser a off\n", "line 2: user a is there twice"),
        (b"password: hunter2\n", "line 1: a line is: user NAME RULE"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"#" * (1 << 20), "1048576 bytes; at most"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_line_and_the_last_one_stays(
    file: bytes, words: str
) -> None:
    wanted = cluster(("app", "+get"), acl="mine")
    last = Users(f"user app on #{HASH} +get\n", "user ops on >word +@read\n")
    found, problems = judged(wanted, WORD, file, last)
    assert found == last
    assert words in problems[0]
    assert "hunter2" not in problems[0]
    assert judged(wanted, WORD, file, NOBODY)[0].file == ""
    assert judged(wanted, WORD, None, last)[0] == last, (
        "nor does a file that is gone change anything"
    )
    assert judged(cluster(("app", "+get")), WORD, None, last)[0].file == "", (
        "what is not asked for any more goes"
    )


def test_a_user_that_moves_from_the_file_to_the_spec_is_there_once() -> None:
    found, _ = judged(
        cluster(("ops", "+get"), acl="mine"),
        {"ops": b"word"},
        None,
        Users("", "user ops on >x +@all\n"),
    )
    assert found == Users(f"user ops on #{HASH} +get\n", "")


def test_what_a_file_of_the_operator_has_is_found_again() -> None:
    users = Users(f"user app on #{HASH} ~a +get\n", "user ops on >x +@all\n")
    text = f"user default on #{HASH} ~* +@all\n{users.spec}{users.file}"
    assert of_file(text, cluster(("app", "+get"))) == users


def test_the_node_s_parser_brings_nothing_into_the_operator_that_it_does_not_have() -> None:
    """The operator's image has these rooms of the node, and msgspec; neither hiredis, nor what is
    compiled, nor the rest."""
    root = Path(__file__).resolve().parents[3]
    docker = (root / "operator" / "Dockerfile").read_text()
    code = """
import sys
sys.modules["hiredis"] = sys.modules["counter_node.fast"] = None
import countercluster_operator.credentials.users
loaded = [m for m, found in sys.modules.items() if found and m.startswith("counter_node.")]
print(*sorted({".".join(m.split(".")[:2]) for m in loaded}))
"""
    path = f"{root / 'node_image'}:{root / 'operator'}"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    for room in run.stdout.split():
        copied = f"COPY node_image/counter_node/{room.removeprefix('counter_node.')}"
        assert f"{copied} " in docker or f"{copied}.py " in docker, room
