"""A server of a test that began in part is ended: an interruption in the middle of its beginning
leaves no process behind, as nothing else would end it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def whole(end: Callable[[], object]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        end()
        raise
