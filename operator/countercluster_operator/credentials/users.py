"""Lines of the users' file from spec.auth, judged before a node sees them, by the very parser of
the node. Pure.

1. What is refused is reported by user and word, and never reaches a node. What was in force last
   goes on: for each user of spec.auth.users by itself, for the file of aclSecretName as a whole.
2. A password whose Secret is not there stays what it was. A user who never had one is left out.
3. Who is taken out of the spec is taken out of the file, whatever else is refused.
4. The user `default` is the operator's: in the file of aclSecretName its lines are left out.
5. Limits are lines of their own, which Redis and older nodes take for comments: so a node that
   knows none goes on with the same file. Those of a user who cannot log in are left out.
6. Nothing of a Secret is in what is reported, but names of users and of commands in a file of
   users.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from counter_node.resp.commands import CATALOGUE
from counter_node.security.acl import DEFAULT, MAX_FILE_BYTES, Acl, AclError
from counter_node.security.limits import LINE, STRICT, Limits

from countercluster_operator.model import Cluster

TAKEN_BACK = frozenset({"reset", "resetpass", "nopass", "off"})
"""Words that undo the password of passwordSecret."""
FIRST_LINE_BYTES = 512
"""Room for the line of the user `default`."""
MAX_LIMITED = 1_000
"""Users with a limit in the file of aclSecretName."""


@dataclasses.dataclass(frozen=True, slots=True)
class Users:
    """Lines of spec.auth.users, and those of the file of aclSecretName."""

    spec: str = ""
    file: str = ""


NOBODY = Users()


def judged(
    cluster: Cluster, passwords: Mapping[str, bytes], file: bytes | None, last: Users
) -> tuple[Users, list[str]]:
    """What is to be in force, and what is refused. `passwords`: by user, of those whose Secret has
    one. `file`: the content of aclSecretName, None where there is none. `last`: what was in force
    before."""
    if not cluster.spec.auth.enabled:
        return NOBODY, []
    problems: list[str] = []
    before = {line.split()[1]: line for line in last.spec.splitlines()}
    lines = []
    for user in cluster.spec.auth.users:
        _, _, _, old_hash, old_rules = (
            before.get(user.name, "").split(" ", 4) if user.name in before else [""] * 5
        )
        rules, word = user.rules, old_hash
        if user.name in passwords:
            word = f"#{hashlib.sha256(passwords[user.name]).hexdigest()}"
        if fault := fault_of(user.name, user.rules):
            rules = old_rules
            stays = "its last good rules stay in force" if rules and word else "it cannot log in"
            problems.append(f"spec.auth.users: {user.name}: {fault}; {stays}")
        if rules and word:
            lines.append(f"user {user.name} on {word} {rules}\n")
    text = last.file if cluster.spec.auth.acl_secret_name else ""
    if file is not None and cluster.spec.auth.acl_secret_name:
        try:
            text = _file(file, {user.name for user in cluster.spec.auth.users})
        except AclError as error:
            stays = "the last good file stays in force" if text else "it is left out"
            problems.append(
                f"spec.auth.aclSecretName: Secret {cluster.spec.auth.acl_secret_name}: "
                f"users.acl, {error}; {stays}"
            )
    taken = {user.name for user in cluster.spec.auth.users}
    text = "".join(line for line in text.splitlines(keepends=True) if _name(line) not in taken)
    return Users("".join(lines), text), problems


def fault_of(name: str, rules: str) -> str:
    """The first word that makes no sense, and why; empty when all do."""
    if len(rules.splitlines()) != 1:
        return "rules are one line"
    for word in rules.split():
        if word in TAKEN_BACK or word[0] in "#>":
            shown = word if word in TAKEN_BACK else word[0]  # what follows is a password
            return f"{shown!r} in its rules: passwords belong into passwordSecret"
        try:
            Acl(f"user {name} {word}", CATALOGUE)
        except AclError as error:
            return f"{word!r} in its rules: {str(error).partition(': ')[2]}"
    return ""


def _name(line: str) -> str:
    """Of the user that this line is about."""
    words = line.split()
    return words[1] if len(words) > 1 and words[0] in ("user", LINE) else ""


def _file(content: bytes, taken: set[str]) -> str:
    """Raises AclError."""
    if len(content) > MAX_FILE_BYTES - FIRST_LINE_BYTES:
        raise AclError(f"it has {len(content)} bytes; at most {MAX_FILE_BYTES - FIRST_LINE_BYTES}")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise AclError("it is no text in UTF-8") from None
    names = [_name(line) for line in text.splitlines()]
    if twice := sorted(taken.intersection(names)):
        raise AclError(
            f"line {names.index(twice[0]) + 1}: user {twice[0]} is in spec.auth.users too"
        )
    if (limited := sum(line.startswith(LINE) for line in text.splitlines())) > MAX_LIMITED:
        raise AclError(f"it limits {limited} users; at most {MAX_LIMITED}")
    Acl(
        "\n".join(
            "" if name == DEFAULT else line
            for name, line in zip(names, text.splitlines(), strict=True)
        ),
        CATALOGUE,
    )
    return "".join(
        f"{line}\n"
        for name, line in zip(names, text.splitlines(), strict=True)
        if name and name != DEFAULT
    )


def of_file(text: str, cluster: Cluster) -> Users:
    """What a file that the operator made had beside the line of `default`."""
    spec = {user.name for user in cluster.spec.auth.users}
    lines = [line for line in text.splitlines(keepends=True) if _name(line) not in ("", DEFAULT)]
    ours = [line for line in lines if _name(line) in spec and len(line.split(" ", 4)) == 5]
    ours = [line for line in ours if not line.startswith(LINE)]
    return Users("".join(ours), "".join(line for line in lines if _name(line) not in spec))


def limits(cluster: Cluster, users: Users) -> str:
    """Lines for those of `users` that the spec limits."""
    there = {_name(line) for line in users.spec.splitlines()}
    lines = []
    for user in cluster.spec.auth.users:
        most = user.limits
        found = Limits(most.keys, most.bytes, most.commands_per_second)
        if user.name in there and found != Limits():
            lines.append(found.line(user.name))
    if cluster.spec.auth.strict_patterns:
        lines.append(STRICT)
    return "".join(f"{line}\n" for line in lines)
