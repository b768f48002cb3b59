"""Faults on demand: makes a named place fail, stall or die at its n-th visit. Absent unless
switched on.

The text is a list separated by commas: `<name>=<action>[@<n>[+]]`. Actions: `eio`, `enospc` (raise
that OSError), `short` (half of a write, then EIO), `bug` (an error that is none of the disk's),
`crash` (the process kills itself as `kill -9` would), `delay<ms>`. `@3` means the third visit only,
`@3+` the third and all later ones, no `@` every visit. The environment variable is
`COUNTER_FAILPOINTS`, e.g. `storage.sync=eio@3,storage.after_rename=crash@1`. The names that storage
visits are listed in `faulty_disk.py`; `node.reply` is visited before replies are given to clients.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Argument = TypeVar("Argument")
VARIABLE = "COUNTER_FAILPOINTS"
_RULE = re.compile(
    r"(?P<name>[a-z_.]+)=(?P<action>eio|enospc|short|crash|bug|delay(?P<ms>\d+))(@(?P<nth>[1-9]\d*)(?P<on>\+)?)?"
)


class ShortWriteError(OSError):
    """Half of the write is to be done first, where it is one."""


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(slots=True)
class _Rule:
    action: str
    delay_ms: int
    nth: int  # 0: every visit
    onwards: bool
    visits: int = 0

    def fires(self) -> bool:
        self.visits += 1
        return self.nth == 0 or self.visits == self.nth or (self.onwards and self.visits > self.nth)


class Failpoints:
    """The faults of one process. `crash` is injectable so that a test can "die" without ending the
    test run."""

    def __init__(self, text: str, crash: Callable[[], None] = _kill_self) -> None:
        """Raises ValueError for a text that it does not understand: a fault that never fires would
        make a test lie."""
        self._rules: dict[str, list[_Rule]] = {}
        self._crash = crash
        for part in filter(None, (p.strip() for p in text.split(","))):
            match = _RULE.fullmatch(part)
            if match is None:
                raise ValueError(
                    f"{VARIABLE}: {part!r} is not "
                    f"<name>=eio|enospc|short|crash|bug|delay<ms>[@<n>[+]]"
                )
            rule = _Rule(
                match["action"],
                int(match["ms"] or 0),
                int(match["nth"] or 0),
                match["on"] is not None,
            )
            self._rules.setdefault(match["name"], []).append(rule)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Failpoints | None:
        text = environment.get(VARIABLE, "")
        return cls(text) if text else None

    def visit(self, name: str) -> None:
        for rule in self._rules.get(name, ()):
            if rule.fires():
                self._act(rule, name)

    def before(self, name: str, action: Callable[[Argument], None]) -> Callable[[Argument], None]:
        """The action with a visit before it."""

        def visited(argument: Argument) -> None:
            self.visit(name)
            action(argument)

        return visited

    def _act(self, rule: _Rule, name: str) -> None:
        if rule.action == "crash":
            self._crash()
        elif rule.action == "bug":
            raise RuntimeError(f"failpoint {name}")
        elif rule.action == "short":
            raise ShortWriteError(errno.EIO, f"{os.strerror(errno.EIO)} (failpoint {name})")
        elif rule.action.startswith("delay"):
            time.sleep(rule.delay_ms / 1000)
        else:
            code = errno.EIO if rule.action == "eio" else errno.ENOSPC
            raise OSError(code, f"{os.strerror(code)} (failpoint {name})")
