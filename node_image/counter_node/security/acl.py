"""Users and what they may do, in the words of Redis's ACL file
(redis.io/docs/management/security/acl). Pure, but for reading the file.

    user default off
    user app on #<SHA-256 of the password, hex> ~app:* %R~shared:* +@read +@write
    user root on #… ~* +@all

1. Without a file there is one user, `default`, without a password, who may do everything. With one,
   the absence of a rule is a refusal: an empty file lets nobody in, and a file that does not name
   `default` switches it off.
2. Passwords are kept as SHA-256 alone, however the file has them (`>plain` or `#hash`), and
   compared in constant time: with every password of the user, and with one for users who do not
   exist. They are long and random where the operator makes them; a slow hash would be a way to
   stall a node.
3. How fast passwords may be guessed: throttle.py.
4. What a user may do is worked out when the file is read: at a command it is one look into a set,
   and for who may do everything nothing at all.
5. Rules are read from left to right. What is not understood is refused with its line, and then the
   file as a whole is not used.
6. Lines that begin with # are comments, but for those of limits (limits.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Final

from counter_node.counters.batches import LimitsRow
from counter_node.counters.keyspace import Match, match_of
from counter_node.security.limits import LINE, MOST, STRICT, Limits, limits

DEFAULT: Final = "default"
MAX_FILE_BYTES: Final = 1 << 20
KEYS_AT_ONCE: Final = 1_000
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_NOBODY = hashlib.sha256(b"").hexdigest()


class AclError(Exception):
    """The file makes no sense; the message names the line and the word, never a password."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """Keys, and whether they may be read and written."""

    text: str
    read: bool = True
    write: bool = True

    def __str__(self) -> str:
        return ("~" if self.read and self.write else "%R~" if self.read else "%W~") + self.text


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    name: str
    enabled: bool = False
    no_password: bool = False
    hashes: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    rules: tuple[str, ...] = ("-@all",)
    """Of commands, as they were given."""
    commands: frozenset[str] = frozenset()
    limits: Limits | None = None
    matches: dict[tuple[bool, bool], Match] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Of its patterns that let it read, write, or both: made when they are asked first."""

    @property
    def all_keys(self) -> bool:
        return any(p.text == "*" and p.read and p.write for p in self.patterns)

    @property
    def all_names(self) -> bool:
        """Whether this user may know every key."""
        return any(p.text == "*" and p.read for p in self.patterns)

    def may_use_keys(
        self, keys: Sequence[bytes], *, read: bool = False, write: bool = False
    ) -> bool:
        """Each of the keys is in one of the patterns that allow as much."""
        steps = self.judge(keys, read=read, write=write)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return bool(end.value)

    def judge(
        self, keys: Sequence[bytes], *, read: bool, write: bool
    ) -> Generator[None, None, bool]:
        """The same, with a pause after each piece of many keys."""
        match = self.matches.get((read, write))
        if match is None:
            allowed = tuple(
                p.text.encode() for p in self.patterns if p.read >= read and p.write >= write
            )
            match = self.matches[read, write] = match_of(allowed)
        for start in range(0, len(keys), KEYS_AT_ONCE):
            if start:
                yield
            if not all(map(match, keys[start : start + KEYS_AT_ONCE])):
                return False
        return True

    def line(self) -> str:
        """As in ACL LIST."""
        words = ["user", self.name, "on" if self.enabled else "off"]
        words += ["nopass"] if self.no_password else [f"#{h}" for h in self.hashes]
        return " ".join([*words, *map(str, self.patterns), *self.rules])


@dataclasses.dataclass(frozen=True, slots=True)
class Catalogue:
    """What there is to be allowed: every command (and `command|sub`), and the members of each
    category."""

    commands: frozenset[str]
    categories: Mapping[str, frozenset[str]]


class Acl:
    """All users. Raises AclError."""

    def __init__(self, text: str | None, catalogue: Catalogue) -> None:
        """`text`: of the file; None: there is none, and nobody has to log in."""
        self.users: dict[str, User] = {
            DEFAULT: _everything(catalogue) if text is None else User(DEFAULT)
        }
        self.strict = False
        """Patterns hold for commands without a key, too."""
        named: set[str] = set()
        limited: dict[str, tuple[int, Limits]] = {}  # by user: the line's number, and what it says
        for number, line in enumerate((text or "").splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                self.strict = self.strict or words == [STRICT]
                if words and words[0] == LINE:
                    name, found = _limits(words, number)
                    if name in limited:
                        raise AclError(f"line {number}: limits of user {name} are there twice")
                    limited[name] = number, found
                continue
            if words[0] != "user" or len(words) < 2:
                raise AclError(f"line {number}: a line is: user NAME RULE …")
            if words[1] in named:
                raise AclError(f"line {number}: user {words[1]} is there twice")
            named.add(words[1])
            self.users[words[1]] = _user(words[1], words[2:], catalogue, number)
        self._limit(limited)

    def _limit(self, limited: Mapping[str, tuple[int, Limits]]) -> None:
        if len(limited) > MOST:
            raise AclError(f"{len(limited)} users have limits; at most {MOST}")
        for name, (number, found) in limited.items():
            if name not in self.users:
                raise AclError(f"line {number}: there is no user {name}")
            self.users[name] = dataclasses.replace(self.users[name], limits=found)

    def only(self, users: Iterable[User]) -> Acl:
        """These users and no others."""
        found = Acl("", Catalogue(frozenset(), {}))
        found.users.update((user.name, user) for user in users)
        found.strict = self.strict
        return found

    @property
    def user_limits(self) -> tuple[LimitsRow, ...]:
        """For the log."""
        found = [(u.name, u.limits) for u in self.users.values() if u.limits is not None]
        rows = [(name.encode(), it.keys, it.bytes) for name, it in found if it.of_counters]
        return tuple(sorted(rows))

    @property
    def text(self) -> str:
        """A file that means the same; without passwords, with their hashes."""
        users = [user for _, user in sorted(self.users.items())]
        lines = [user.line() for user in users]
        lines += [user.limits.line(user.name) for user in users if user.limits is not None]
        return "".join(line + "\n" for line in [*lines, *([STRICT] if self.strict else [])])

    @property
    def open(self) -> User | None:
        """Who everybody is without AUTH."""
        user = self.users[DEFAULT]
        return user if user.enabled and user.no_password else None

    def check(self, name: str, password: bytes) -> User | None:
        """The user, or None. The same work for every name and every password of a length."""
        user = self.users.get(name)
        given = hashlib.sha256(password).hexdigest()
        hashes = user.hashes if user is not None else ()
        most = max([1, *(len(u.hashes) for u in self.users.values())])
        good = False
        for known in (*hashes, *(_NOBODY,) * (most - len(hashes))):
            good |= hmac.compare_digest(given, known) & (known is not _NOBODY)
        if user is None or not user.enabled:
            return None
        return user if user.no_password or (good and bool(user.hashes)) else None


def _everything(catalogue: Catalogue) -> User:
    return User(DEFAULT, True, True, (), (Pattern("*"),), ("+@all",), catalogue.commands)


def _limits(words: list[str], number: int) -> tuple[str, Limits]:
    """The user, and what its line says."""
    if len(words) < 2:
        raise AclError(f"line {number}: a line of limits is: {LINE} NAME keys=N bytes=N commands=N")
    try:
        return words[1], limits(words[2:])
    except ValueError as error:
        raise AclError(f"line {number}, limits of user {words[1]}: {error}") from None


def _user(name: str, words: list[str], catalogue: Catalogue, number: int) -> User:
    user = User(name)
    for word in words:
        try:
            user = applied(user, word, catalogue)
        except AclError as error:
            raise AclError(f"line {number}, user {name}: {error}") from None
    return user


def applied(user: User, word: str, catalogue: Catalogue) -> User:
    """The user after one more rule. Raises AclError."""
    change = dataclasses.replace
    if word in ("on", "off"):
        return change(user, enabled=word == "on")
    if word == "nopass":
        return change(user, no_password=True, hashes=())
    if word == "resetpass":
        return change(user, no_password=False, hashes=())
    if word == "reset":
        return User(user.name)
    if word[0] == ">":
        return change(
            user,
            no_password=False,
            hashes=(*user.hashes, hashlib.sha256(word[1:].encode()).hexdigest()),
        )
    if word[0] == "#":
        if not _HASH.match(word[1:]):
            raise AclError("what follows # is not a SHA-256 in 64 small hex digits")
        return change(user, no_password=False, hashes=(*user.hashes, word[1:]))
    if word in ("allkeys", "resetkeys"):
        return change(user, patterns=(Pattern("*"),) if word == "allkeys" else ())
    if word in ("allchannels", "resetchannels") or word[0] == "&":
        return user  # there are no channels here
    if word[0] in "~%":
        return change(user, patterns=(*user.patterns, _pattern(word)))
    word = {"allcommands": "+@all", "nocommands": "-@all"}.get(word, word)
    if word[0] in "+-":
        chosen = _chosen(word[1:].lower(), catalogue)
        rules = (word.lower(),) if word[1:].lower() == "@all" else (*user.rules, word.lower())
        return change(
            user,
            rules=rules,
            commands=user.commands | chosen if word[0] == "+" else user.commands - chosen,
        )
    raise AclError(
        "a rule is on, off, nopass, #hash, >password, ~pattern, %R~pattern, %W~pattern, "
        "+command, -command, +@category or -@category"
    )


def _pattern(word: str) -> Pattern:
    flags, tilde, text = word.partition("~")
    letters = flags[1:].upper()
    if not tilde or not text or (flags and (not letters or letters.strip("RW"))):
        raise AclError("a pattern of keys is ~pattern, %R~pattern, %W~pattern or %RW~pattern")
    return Pattern(text, not flags or "R" in letters, not flags or "W" in letters)


def _chosen(what: str, catalogue: Catalogue) -> frozenset[str]:
    if what == "@all":
        return catalogue.commands
    if what.startswith("@"):
        if what[1:] not in catalogue.categories:
            raise AclError(
                f"there is no category {what}; @all @{' @'.join(sorted(catalogue.categories))}"
            )
        return catalogue.categories[what[1:]]
    found = frozenset(c for c in catalogue.commands if c == what or c.startswith(f"{what}|"))
    if not found:
        raise AclError(f"there is no command {what[:64]!r}")
    return found


def rules_for(commands: frozenset[str], catalogue: Catalogue) -> tuple[str, ...]:
    """Rules that allow these commands and no others."""
    given = frozenset().union(*(_chosen(name, catalogue) for name in commands))
    return (
        "-@all",
        *(f"+{name}" for name in sorted(commands)),
        *(f"-{name}" for name in sorted(given - commands)),
    )
