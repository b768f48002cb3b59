"""Text to tokens, as Lua 5.1 has them. The text is read as Latin-1, so that any bytes are text and
each character is one byte."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from counter_node.script import numbers
from counter_node.script.errors import CompileError, LimitError
from counter_node.script.limits import Limits

NAME, NUMBER, STRING, SIGN, END = "name", "number", "string", "sign", "end"
KEYWORDS: Final = frozenset({
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
    "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
})  # fmt: skip


class Token(NamedTuple):
    kind: str
    """A keyword has the kind SIGN."""
    text: str
    line: int
    value: float | bytes = 0.0


_TOKEN: Final = re.compile(
    r"""[ \t\v\f]*(?:(?P<break>(?:\r\n|\n\r|\n|\r)+)
    |(?P<comment>--(?!\[=*\[)[^\n\r]*)
    |(?P<long>(?:--)?\[(?P<level>=*)\[)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>(?:0[xX]|\.?[0-9])(?:[eE][+-]|[A-Za-z0-9_.])*)
    |(?P<string>["'])
    |(?P<sign>\.\.\.|\.\.|==|~=|<=|>=|[-+*/%^\#<>=(){}\[\];:,.])
    |\Z)""",
    re.VERBOSE,
)
_BREAK: Final = re.compile(r"\r\n|\n\r|\n|\r")
_IN_STRING: Final = {
    quote: re.compile(rf"[^\\\n\r{quote}]+|\\(?:[0-9]{{1,3}}|\r\n|\n\r|[\s\S])|{quote}")
    for quote in "\"'"
}
_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip


def tokens(source: bytes, limits: Limits) -> list[Token]:
    """All tokens, the last of which has the kind END."""
    if len(source) > limits.script_source_bytes:
        most = limits.script_source_bytes
        raise LimitError("script_source_bytes", most, "bytes of source", "; it was not compiled")
    text, at, line = source.decode("latin-1"), 0, 1
    found: list[Token] = []
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CompileError(line, f"unexpected symbol near '{text[at:].lstrip()[:1]}'")
        kind = match.lastgroup
        if kind is None:
            break
        word, at = match[kind], match.end()
        if kind == "name":
            found.append(Token(SIGN if word in KEYWORDS else NAME, word, line))
        elif kind == "sign":
            found.append(Token(SIGN, word, line))
        elif kind == "number":
            found.append(Token(NUMBER, word, line, _number(word, line)))
        elif kind == "string":
            value, at, end_line = _string(text, at, word, line)
            found.append(Token(STRING, text[match.start(kind) : at], line, value))
            line = end_line
        elif kind in ("level", "long"):
            comment = match["long"][0] == "-"
            start, at = at, _long_end(text, at, match["level"], line, comment)
            if not comment:
                whole = text[match.start("long") : at]
                found.append(Token(STRING, whole, line, _long(match, text, at)))
            line += len(_BREAK.findall(text, start, at))
        elif kind == "break":
            line += len(_BREAK.findall(word))
        if len(found) > limits.script_tokens:
            most = limits.script_tokens
            raise LimitError("script_tokens", most, "words and signs", "; it was not compiled")
    found.append(Token(END, "<eof>", line))
    return found


def _number(word: str, line: int) -> float:
    value = numbers.read(word.encode("latin-1"))
    if value is None:
        raise CompileError(line, f"malformed number near '{word}'")
    return value


def _string(text: str, at: int, quote: str, line: int) -> tuple[bytes, int, int]:
    parts: list[str] = []
    begin, pattern = at - 1, _IN_STRING[quote]
    while match := pattern.match(text, at):
        part, at = match[0], match.end()
        if part == quote:
            return "".join(parts).encode("latin-1"), at, line
        if part[0] != "\\":
            parts.append(part)
        elif part[1].isdigit():
            if int(part[1:]) > 255:
                raise CompileError(line, f"escape sequence too large near '{text[begin:at]}'")
            parts.append(chr(int(part[1:])))
        elif part[1] in "\r\n":
            parts.append("\n")
            line += 1
        else:
            parts.append(_ESCAPES.get(part[1], part[1]))
    near = "<eof>" if at >= len(text) else text[begin:at]
    raise CompileError(line, f"unfinished string near '{near}'")


def _long_end(text: str, at: int, level: str, line: int, comment: bool) -> int:
    end = text.find(f"]{level}]", at)
    if end < 0:
        what = "comment" if comment else "string"
        raise CompileError(line, f"unfinished long {what} near '<eof>'")
    return end + 2 + len(level)


def _long(match: re.Match[str], text: str, end: int) -> bytes:
    """The content of a long string: a line's end right at its begin does not count."""
    content = text[match.end() : end - 2 - len(match["level"])]
    if first := _BREAK.match(content):
        content = content[first.end() :]
    return _BREAK.sub("\n", content).encode("latin-1")
