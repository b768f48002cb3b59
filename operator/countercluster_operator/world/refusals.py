"""What the API server does not do for us, in words, and when it is asked again.

A refusal is an answer: 4xx, 429 with the pause that it asks for, 5xx (a webhook that does not
answer, say), or no answer in time. It concerns the one object, and nothing else waits for it. The
same wish is not repeated with every pass: after 5, 10, 20 s and then every 30 s, or when the
wish changes.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Hashable

from kubernetes.aio.client.exceptions import ApiException

FIRST_S, LAST_S = 5.0, 30.0
LONGEST_S = 300.0
"""The longest pause that a Retry-After is given."""


def reason(error: BaseException) -> str:
    """The API server's own words, without the HTTP around them."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if not isinstance(error, ApiException):
        return str(error) or type(error).__name__
    try:
        found = str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        found = str(error.reason)
    after = retry_after_s(error)
    return f"{found} (again after {after:.0f} s, as it asks)" if after else found


def retry_after_s(error: BaseException) -> float:
    """0 when it asks for no pause."""
    headers = getattr(error, "headers", None) or {}
    try:
        return min(LONGEST_S, max(0.0, float(headers.get("Retry-After", 0))))
    except (TypeError, ValueError):
        return 0.0


@dataclasses.dataclass(slots=True)
class _Refusal:
    wish: str
    text: str
    until: float
    pause_s: float


class Refusals:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Hashable, _Refusal] = {}

    def waiting(self, key: Hashable, wish: str) -> str:
        """Why `wish` was refused last, while it is not to be tried again yet; else empty."""
        found = self._known.get(key)
        return (
            found.text
            if found is not None and found.wish == wish and self._clock() < found.until
            else ""
        )

    def again_s(self, key: Hashable) -> float:
        """How long the pause still is."""
        found = self._known.get(key)
        return max(0.0, found.until - self._clock()) if found is not None else 0.0

    def add(self, key: Hashable, wish: str, text: str, after_s: float = 0.0) -> None:
        before = self._known.get(key)
        again = before is not None and before.wish == wish
        pause_s = min(LAST_S, before.pause_s * 2) if before is not None and again else FIRST_S
        self._known[key] = _Refusal(wish, text, self._clock() + max(pause_s, after_s), pause_s)

    def drop(self, key: Hashable) -> None:
        self._known.pop(key, None)

    def forget(self, belongs: Callable[[Hashable], bool]) -> None:
        for key in [k for k in self._known if belongs(k)]:
            del self._known[key]
