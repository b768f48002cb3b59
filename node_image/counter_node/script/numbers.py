"""Numbers to text and back, as C does it with the formats of Lua and Redis, and the functions whose
last bit a machine's libm decides. Everything here is the same on every machine: powers of whole
numbers are exact, other powers and logarithms are worked out in decimals and rounded once."""

from __future__ import annotations

import decimal
import math
import re
from typing import Final

_DECIMAL: Final = re.compile(
    rb"[ \t\n\v\f\r]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t\n\v\f\r]*"
)
_HEX: Final = re.compile(
    rb"[ \t\n\v\f\r]*([+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?)"
    rb"[ \t\n\v\f\r]*"
)
_WORD: Final = re.compile(rb"(?i)[ \t\n\v\f\r]*([+-]?)(inf|infinity|nan)[ \t\n\v\f\r]*")
_EXACT: Final = decimal.Context(
    prec=40, Emin=-9_999_999, Emax=9_999_999, traps=[], rounding=decimal.ROUND_HALF_EVEN
)
_WHOLE: Final = 1e14
INT64: Final = 2.0**63
INFINITE: Final = math.inf
LONGEST: Final = 128
"""Bytes of a text that can be a number."""


def show(number: float) -> bytes:
    """As `%.14g`."""
    if -_WHOLE < number < _WHOLE and number == (whole := int(number)):
        if whole or math.copysign(1.0, number) > 0:
            return b"%d" % whole
        return b"-0"
    return b"%.14g" % number


def argument(number: float) -> bytes:
    """As Redis 7.2 and later give a number to a command: whole ones exactly, others in the
    shortest form that reads back."""
    if -(2.0**62) <= number <= 2.0**62 and number == (whole := int(number)):
        return b"%d" % whole
    if number != number or number in (math.inf, -math.inf):
        return b"%g" % number
    sign, digits, exponent = decimal.Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    return ("-" * sign + _placed(text, exponent)).encode()


def _placed(digits: str, exponent: int) -> str:
    """The digits of a number with its point, or with an exponent where that is shorter."""
    scale = exponent + len(digits) - 1
    if exponent >= 0 and scale < len(digits) + 7:
        return digits + "0" * exponent
    if exponent < 0 and (exponent > -7 or abs(scale) < 4):
        point = len(digits) + exponent
        return digits[:point] + "." + digits[point:] if point > 0 else "0." + "0" * -point + digits
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{scale:+d}"


def read(text: bytes) -> float | None:
    """As strtod, with the whole text used; what follows a NUL does not count. A text that is too
    long is no number: reading it would cost what no budget counts."""
    if len(text) < 16 and text.isdigit():
        return float(int(text))
    if len(text) > LONGEST:
        return None
    text = text.partition(b"\0")[0]
    if found := _DECIMAL.fullmatch(text):
        return float(found[1])
    if found := _HEX.fullmatch(text):
        try:
            return float.fromhex(found[1].decode())
        except OverflowError:
            return -math.inf if b"-" in found[1] else math.inf
    if found := _WORD.fullmatch(text):
        value = math.nan if found[2].lower() == b"nan" else math.inf
        return -value if found[1] == b"-" else value
    return None


def read_in_base(text: bytes, base: int) -> float | None:
    """As strtoul, which takes a sign, wraps around it and stops at its largest number."""
    if len(text) > LONGEST:
        return None
    text = text.partition(b"\0")[0].strip(b" \t\n\v\f\r")
    negative, digits = text[:1] == b"-", text.lstrip(b"+-") if text[:1] in (b"+", b"-") else text
    if len(text) - len(digits) > 1:
        return None
    if base == 16 and digits[:2].lower() == b"0x":
        digits = digits[2:]
    if not digits or not digits.isalnum():
        return None
    value = 0
    for each in digits.decode("latin-1").lower():
        digit = "0123456789abcdefghijklmnopqrstuvwxyz".find(each)
        if not 0 <= digit < base:
            return None
        value = min(value * base + digit, 2**64)
    if value >= 2**64:
        return float(2**64 - 1)
    return float((-value) % 2**64 if negative else value)


def to_int64(number: float) -> int:
    """As a cast of C does it on x86-64: what does not fit is the smallest."""
    return int(number) if -INT64 <= number < INT64 else -(2**63)


def divide(a: float, b: float) -> float:
    if b:
        return a / b
    if a != a or not a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def modulo(a: float, b: float) -> float:
    """a - floor(a / b) * b, as Lua 5.1 has it."""
    quotient = divide(a, b)
    if -9e15 < quotient < 9e15 and quotient:
        quotient = float(math.floor(quotient))
    return a - quotient * b


def power(a: float, b: float) -> float:
    if b == 0 or a == 1:
        return 1.0
    if b == 1:
        return a
    if b == 2:
        return a * a
    if b == 0.5 and 0 < a < math.inf:
        return math.sqrt(a)
    if 0 < b <= 64 and b == (whole := int(b)) and abs(a) < 2.0**53 and a == (base := int(a)):
        exact: int = base**whole
        if exact:
            try:
                return float(exact)
            except OverflowError:
                return math.inf if exact > 0 else -math.inf
    return _other_power(a, b)


def _other_power(a: float, b: float) -> float:
    if a != a or b != b:
        return math.nan
    if b in (math.inf, -math.inf):
        larger = abs(a) > 1
        return 1.0 if abs(a) == 1 else math.inf if larger == (b > 0) else 0.0
    odd = b == math.floor(b) and abs(b) < 2**53 and int(b) % 2 == 1
    sign = -1.0 if odd and math.copysign(1.0, a) < 0 else 1.0
    if a in (0, math.inf, -math.inf):
        return sign * (math.inf if (a == 0) == (b < 0) else 0.0)
    if a < 0 and b != math.floor(b):
        return math.nan
    logarithm = _EXACT.ln(decimal.Decimal(abs(a)))
    return sign * _rounded(_EXACT.exp(_EXACT.multiply(logarithm, decimal.Decimal(b))))


def _rounded(number: decimal.Decimal) -> float:
    return float(number)


def exponential(number: float) -> float:
    if number != number or number > 710:
        return number if number != number else math.inf
    return 0.0 if number < -746 else _rounded(_EXACT.exp(decimal.Decimal(number)))


def logarithm(number: float, ten: bool) -> float:
    if number != number or number < 0:
        return math.nan
    if number in (0, math.inf):
        return number if number else -math.inf
    exact = decimal.Decimal(number)
    return _rounded(_EXACT.log10(exact) if ten else _EXACT.ln(exact))
