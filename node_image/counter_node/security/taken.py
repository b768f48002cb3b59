"""What a file of users takes away, although it cannot be used.

A file with a mistake gives nobody anything: who wrote it meant something else. But what it plainly
does not grant any more is taken away at once, because a right that stays in force by a slip of the
pen is what such a change is often about:

1. A user without a line is gone. One whose line says `off`, or does not say `on`, is off.
2. A password that is not in the user's line is no password any more.
3. Of a line that is understood, commands and keys are what both the old rules and the new ones
   allow. Where that cannot be decided for two patterns of keys, the keys are refused. A line that
   is not understood leaves commands and keys as they were.
4. Of a line of limits that is understood the lower ones hold, and `#strict-patterns` is in force
   (limits.py).
"""

from __future__ import annotations

import contextlib
import dataclasses

from counter_node.security.acl import Acl, AclError, Catalogue, User, applied, rules_for
from counter_node.security.limits import LINE, STRICT, limits


def remaining(last: Acl, text: str, catalogue: Catalogue) -> Acl:
    """The users of `last`, less what `text`, a file that cannot be used, takes from them."""
    left = dict(last.users)
    named: set[str] = set()
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [LINE] and words[1:2] and words[1] in left:
            with contextlib.suppress(ValueError):
                user = left[words[1]]
                lower = limits(words[2:]).lower(user.limits)
                left[words[1]] = dataclasses.replace(user, limits=lower)
        if len(words) < 2 or words[0] != "user":
            continue
        named.add(words[1])
        if words[1] in left:
            left[words[1]] = _both(left[words[1]], words[2:], catalogue)
    found = last.only(user for name, user in left.items() if name in named)
    found.strict = found.strict or any(line.split() == [STRICT] for line in text.splitlines())
    return found


def _both(old: User, rules: list[str], catalogue: Catalogue) -> User:
    new, understood = User(old.name), True
    for rule in rules:
        try:
            new = applied(new, rule, catalogue)
        except AclError:
            understood = False
    user = dataclasses.replace(
        old,
        enabled=old.enabled and new.enabled,
        no_password=old.no_password and new.no_password,
        hashes=tuple(h for h in old.hashes if h in new.hashes),
    )
    if not understood:
        return user
    patterns = tuple(p for p in old.patterns if new.all_keys or p in new.patterns)
    if old.all_keys:
        patterns = new.patterns
    commands = old.commands & new.commands
    rules_left = old.rules if commands == old.commands else rules_for(commands, catalogue)
    return dataclasses.replace(user, patterns=patterns, rules=rules_left, commands=commands)
