"""Judges what a node says of itself (RAFT.STATUS) before anything is made of it. Pure.

Each field that the operator uses has a type, a range or a length, and a form. One that breaks them
makes the whole status worth nothing: an honest node has no such field. Fields that the operator
does not use are not read and not kept.
"""

from __future__ import annotations

import re
from typing import Any, Final

from countercluster_operator.world.replies import Hostile, words

MAX_MEMBERS: Final = 32
MOST: Final = (1 << 63) - 1
ID = re.compile("[0-9a-f]{16}")
ID_OR_NONE = re.compile("(?:[0-9a-f]{16})?")
NAME = re.compile("[A-Za-z0-9._-]{0,253}")
ROLE = re.compile("[a-z-]{1,32}")
DIGEST = re.compile("[0-9a-f]{0,128}")


def judged(found: dict[str, Any]) -> dict[str, Any]:
    """The fields that observed.node_status reads, each in its bounds. Raises Hostile, which names
    the field."""
    tls, cache = _part(found, "tls"), _part(found, "cache")
    return {
        "nodeId": _text(found, "nodeId", ID),
        "role": _text(found, "role", ROLE),
        "leaderId": _text(found, "leaderId", ID_OR_NONE),
        **{field: _count(found, field) for field in ("term", "commitIndex", "lastIndex")},
        "ready": _truth(found, "ready"),
        "reason": _words(found, "reason"),
        "members": _members(found),
        "history": _history(found),
        "tls": {field: _text(tls, field, DIGEST) for field in ("trust", "serial")} if tls else None,
        "users_digest": _text(found, "users_digest", DIGEST),
        "users_error": _words(found, "users_error"),
        "time": _time(found),
        "cache": {
            **{field: _count(cache, field) for field in ("known", "connected")},
            "error": _words(cache, "error"),
        },
    }


def led(found: dict[str, Any]) -> tuple[str, int]:
    """Its role and its term. Raises Hostile."""
    return _text(found, "role", ROLE), _count(found, "term")


def _members(found: dict[str, Any]) -> list[dict[str, Any]]:
    members = found.get("members")
    if not isinstance(members, list) or len(members) > MAX_MEMBERS:
        raise Hostile(f"its members are no list of at most {MAX_MEMBERS}")
    if not all(isinstance(member, dict) for member in members):
        raise Hostile("one of its members is no object")
    rows = [
        {
            "nodeId": _text(member, "nodeId", ID),
            "name": _text(member, "name", NAME),
            "voter": _truth(member, "voter"),
            "matchIndex": _count(member, "matchIndex"),
            "active": _truth(member, "active"),
        }
        for member in members
    ]
    if len({row["nodeId"] for row in rows}) < len(rows):
        raise Hostile("one of its members is there twice")
    return rows


def _history(found: dict[str, Any]) -> dict[str, Any] | None:
    history = _part(found, "history")
    if not history:
        return None
    return {
        "id": _text(history, "id", ID),
        "index": _count(history, "index"),
        "reason": _words(history, "reason"),
    }


def _time(found: dict[str, Any]) -> dict[str, Any] | None:
    time = _part(found, "time")
    if not time:
        return None
    return {
        "jumps": _count(time, "jumps"),
        **{field: _count(time, field, least=-MOST) for field in ("jumpedMs", "refusedJumpMs")},
        "agreed": _truth(time, "agreed") if time.get("agreed") is not None else None,
        **{
            field: [_text({field: one}, field, ID) for one in _list(time, field)]
            for field in ("apart", "runsOff")
        },
        "clocks": [_clock(one) for one in _list(time, "clocks")],
    }


def _clock(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Hostile("one of its clocks is no object")
    return {
        "nodeId": _text(found, "nodeId", ID),
        "name": _text(found, "name", NAME),
        "offsetMs": _count(found, "offsetMs", least=-MOST),
    }


def _list(found: dict[str, Any], field: str) -> list[Any]:
    """Absent is empty."""
    rows = found.get(field)
    rows = [] if rows is None else rows
    if not isinstance(rows, list) or len(rows) > MAX_MEMBERS:
        raise Hostile(f"its {field} is no list of at most {MAX_MEMBERS}")
    return rows


def _part(found: dict[str, Any], field: str) -> dict[str, Any]:
    part = found.get(field)
    if part is not None and not isinstance(part, dict):
        raise Hostile(f"its {field} is no object")
    return part or {}


def _text(found: dict[str, Any], field: str, form: re.Pattern[str]) -> str:
    text = found.get(field)
    text = "" if text is None else text
    if not isinstance(text, str) or not form.fullmatch(text):
        raise Hostile(f"its {field} is not of the form {form.pattern}")
    return text


def _words(found: dict[str, Any], field: str) -> str:
    text = found.get(field)
    if text is not None and not isinstance(text, str):
        raise Hostile(f"its {field} is no text")
    return words(text or "")


def _count(found: dict[str, Any], field: str, least: int = 0) -> int:
    """Absent is 0."""
    number = found.get(field)
    number = 0 if number is None else number
    if type(number) is not int or not least <= number <= MOST:
        raise Hostile(f"its {field} is no whole number from {least} to {MOST}")
    return number


def _truth(found: dict[str, Any], field: str) -> bool:
    truth = found.get(field)
    if truth is not None and type(truth) is not bool:
        raise Hostile(f"its {field} is neither true nor false")
    return bool(truth)
