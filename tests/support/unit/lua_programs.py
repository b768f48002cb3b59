"""Made-up programs of Lua, for comparing two engines: nothing in them depends on the order of
`pairs`, on the length of a table with holes, on an address, or on which NaN it is.

Programs of `Programs.text` end, as loops in them are counted; most fail somewhere, as real ones do
when operands do not fit. What they say at the end is a list of texts, so that a difference in any
variable is seen."""

from __future__ import annotations

from random import Random

_NUMBERS = (
    "0", "1", "2", "3", "7", "10", "-1", "0.5", "1.5", "-2.25", "100", "1e3", "0x1F", "1e15",
    "123456789", "9007199254740993", "0.1", "1e300", "3.14159",
)  # fmt: skip
_STRINGS = (
    '""', '"a"', '"abc"', "'x y'", '"10"', '"0x10"', '" 7 "', '"1e2"', '"-3"', '"ab\\n\\t\\0z"',
    '"%d"', "[[long]]", '"hello world"', '"key:1"', '"\\65\\066"', '"1a"',
)  # fmt: skip
_PATTERNS = (
    '"l"', '"%d+"', '"(%w+)"', '"^a"', '"[a-c]+"', '"%s*$"', '"(.)(.)"', '"."', '"[^%s]*"', '"b*"',
    '"%a-o"', '"()"', '"x?y"', '"[%d.]+"', '"%f[%w]%w+"', '"%bhd"', '"(a*(.)%w(%s*))"', '"[]]"',
    '"%"', '"["', '"(h"', '"%1"', '"[%a_][%w_]*"', '"%u"', '"%p"', '"%x+$"', '"%S"', '"[^a-y]"',
)  # fmt: skip
_FORMATS = (
    "%d", "%5d", "%-5d|", "%05d", "%+d", "%x", "%X", "%o", "%u", "%c", "%e", "%g", "%.3f", "%10.2f",
    "%s", "%10s|", "%-10s|", "%.2s", "%q", "%i", "%%", "%5.1f", "%#x", "% d", "%.0f", "%G", "%E",
    "%.10g", "%3d%%", "%y",
)  # fmt: skip


class Programs:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._names: list[str] = []
        self._deep = 0

    def text(self) -> str:
        """A whole program."""
        self._names, self._deep = [], 0
        lines = [self._statement() for _ in range(self._random.randint(1, 7))]
        ends = [f"show({name})" for name in self._names] + [f"show({self._expression()})"]
        return "\n".join([_SHOW, *lines, f"return {{{', '.join(ends)}}}"])

    def _pick(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _name(self) -> str:
        return self._random.choice(self._names) if self._names else self._pick(*_NUMBERS)

    def _block(self, count: int) -> str:
        """Names of a block are gone behind it."""
        known, self._deep = len(self._names), self._deep + 1
        lines = [self._statement() for _ in range(self._random.randint(1, count))]
        del self._names[known:]
        self._deep -= 1
        return " ".join(lines)

    def _statement(self) -> str:
        kinds = [self._local, self._local, self._local, self._assign, self._local_table]
        if self._deep < 3:
            kinds += [self._if, self._for, self._while, self._walk, self._function, self._closures,
                      self._caught, self._repeat, self._method, self._several]  # fmt: skip
        return self._random.choice(kinds)()

    def _new_name(self) -> str:
        # Names come again, so that one hides another.
        return f"v{self._random.randint(0, 9)}"

    def _local(self) -> str:
        value, name = self._expression(), self._new_name()
        self._names.append(name)
        return f"local {name} = {value}"

    def _local_table(self) -> str:
        kind = self._pick("list", "record", "mixed")
        values = ", ".join(self._solid() for _ in range(self._random.randint(1, 4)))
        pairs = ", ".join(f"{key} = {self._solid()}" for key in ("a", "b", "c"))
        text = {"list": values, "record": pairs, "mixed": f"{values}, [{self._solid()}] = 1, z = 2"}
        name = self._new_name()
        line = f"local {name} = {{{text[kind]}}}"
        self._names.append(name)
        return line

    def _solid(self) -> str:
        """A value that is not nil."""
        return self._pick(
            self._pick(*_NUMBERS), self._pick(*_STRINGS), "true", "false", f"({self._name()} or 4)"
        )

    def _assign(self) -> str:
        if not self._names:
            return self._local()
        target = self._name()
        return self._pick(
            f"{target} = {self._expression()}",
            f"{target} = {self._expression()}",
            f"if type({target}) == 'table' then {target}.a = {self._expression()} end",
            f"if type({target}) == 'table' then {target}[#{target} + 1] = {self._solid()} end",
            f"if type({target}) == 'table' then table.insert({target}, {self._solid()}) end",
            f"if type({target}) == 'table' then table.sort({target}, function(a, b) "
            "return tostring(a) < tostring(b) end) end",
        )

    def _if(self) -> str:
        text = f"if {self._expression()} then {self._block(2)}"
        if self._random.random() < 0.4:
            text += f" elseif {self._expression()} then {self._block(2)}"
        if self._random.random() < 0.5:
            text += f" else {self._block(2)}"
        return text + " end"

    def _for(self) -> str:
        name = self._new_name()
        bounds = f"{self._random.randint(-2, 3)}, {self._random.randint(0, 5)}"
        step = self._pick("", "", ", 1", ", -1", ", 0.5", ", 2", ', "1"')
        known = len(self._names)
        self._names.append(name)
        body = self._block(2)
        del self._names[known:]
        ending = self._pick("", "", f" if {name} == 2 then break end")
        return f"for {name} = {bounds}{step} do {body}{ending} end"

    def _while(self) -> str:
        name = self._new_name()
        body = self._block(2)
        return f"do local n{name} = 0 while n{name} < 3 do n{name} = n{name} + 1 {body} end end"

    def _repeat(self) -> str:
        name = self._new_name()
        return (
            f"do local n{name} = 0 repeat n{name} = n{name} + 1 local q = n{name} * 2 "
            f"{self._block(1)} until q > 4 or {self._expression()} end"
        )

    def _walk(self) -> str:
        of = f"{{{', '.join(self._solid() for _ in range(3))}}}"
        key, value = self._new_name(), self._new_name()
        walker = self._pick("pairs", "ipairs")
        known = len(self._names)
        self._names += [key, value]
        body = self._block(2)
        del self._names[known:]
        return f"for {key}, {value} in {walker}({of}) do {body} end"

    def _function(self) -> str:
        name = self._new_name()
        known, self._names = self._names, [*self._names, "p", "q"]
        body, result = self._block(2), self._expression()
        self._names = known
        dots = self._pick("", ", ...")
        second = self._pick("", f", {self._expression()}", ", ..." if dots else "")
        line = f"local function {name}(p, q{dots}) {body} return {result}{second} end"
        use = self._new_name()
        self._names.append(use)
        arguments = ", ".join(self._solid() for _ in range(self._random.randint(0, 3)))
        return f"{line} local {use} = {name}({arguments})"

    def _closures(self) -> str:
        """Each round has its own variable, and functions of one round share it."""
        name = self._new_name()
        self._names.append(name)
        return (
            f"local {name} = '' do local made = {{}} for i = 1, 3 do local kept = i * 10 "
            "made[#made + 1] = function() kept = kept + i return kept end "
            "made[#made + 1] = function() return kept end end "
            f"for _, each in ipairs(made) do {name} = {name} .. each() .. ',' end end"
        )

    def _caught(self) -> str:
        name, other = self._new_name(), self._new_name()
        body, raised = self._block(2), self._expression()
        self._names += [name, other]
        raising = self._pick("", f" error({raised})", f" error({raised}, 0)", f" return {raised}")
        return f"local {name}, {other} = pcall(function() {body}{raising} end)"

    def _method(self) -> str:
        name = self._new_name()
        text = self._pick("'abc'", '("hello")', f"tostring(str({self._name()}))")
        if text[0] == "'":
            text = f"({text})"
        call = self._pick(
            "upper()", "len()", "rep(2)", "sub(2)", "sub(-2, -1)", "byte()", "reverse()",
            f"find({self._pick(*_PATTERNS)})", f"match({self._pick(*_PATTERNS)})",
            f"gsub({self._pick(*_PATTERNS)}, '<%0>')", f"sub(num({self._expression()}))",
        )  # fmt: skip
        self._names.append(name)
        return f"local {name} = {text}:{call}"

    def _several(self) -> str:
        one, two = self._new_name(), self._new_name()
        values = f"{self._expression()}, {self._expression()}"
        self._names += [one, two]
        if one == two:
            return f"local {one} = {self._expression()}"
        return f"local {one}, {two} = {values} {one}, {two} = {two}, {one}"

    def _expression(self, deep: int = 0) -> str:
        simple = [*_NUMBERS[:9], *_STRINGS[:8], "nil", "true", "false"]
        simple += self._names * 3
        if deep > 2 or self._random.random() < 0.3:
            return self._random.choice(simple)
        one, two = self._expression(deep + 1), self._expression(deep + 1)
        return self._random.choice([self._operator, self._operator, self._call])(one, two)

    def _fitting(self, text: str, function: str) -> str:
        """Mostly a value of the wanted kind; now and then any, for the errors."""
        return f"{function}({text})" if self._random.random() < 0.97 else text

    def _operator(self, one: str, two: str) -> str:
        sign = self._pick(
            "+", "-", "*", "/", "%", "^", "..", "..", "==", "~=", "<", "<=", ">", ">=", "and", "or"
        )
        if sign in ("==", "~=", "and", "or"):
            return self._pick(f"({one} {sign} {two})", f"(not {one})", f"({one} {sign} {two})")
        kind = "str" if sign == ".." or self._random.random() < 0.1 else "num"
        if kind == "str" and sign != "..":
            sign = self._pick("<", "<=", ">", ">=")
        one, two = self._fitting(one, kind), self._fitting(two, kind)
        if sign == "^":
            two = self._pick("2", "3", "0.5", "-1", "0", "10")
        return self._pick(
            f"({one} {sign} {two})", f"({one} {sign} {two})", f"{one} {sign} {two}",
            f"(-{one} {sign} {two})" if kind == "num" else f"#{one}", f"({{{one}, a = {two}}}).a",
            f"(({{{one}, {two}}}))[{self._pick('1', '2', '3')}]",
        )  # fmt: skip

    def _call(self, one: str, two: str) -> str:
        number, other = self._fitting(one, "num"), self._fitting(two, "num")
        text, more = self._fitting(one, "str"), self._fitting(two, "str")
        return self._pick(
            f"tostring({one})", f"tonumber({text})", f"type({one})", f"math.floor({number})",
            f"math.max({number}, {other})", f"math.min({number}, {other})", f"math.abs({number})",
            f"math.ceil({number})", f"math.fmod({number}, {other})", f"string.len({text})",
            f"string.sub({text}, {other})", f"string.upper({text})", f"string.rep({text}, 3)",
            f"string.format('{self._pick(*_FORMATS)}', {number})", f"select(2, {one}, {two})",
            f"string.format('%s {self._pick(*_FORMATS)}', {text}, {other})",
            f"(string.find({text}, {self._pick(*_PATTERNS)}))", f"select('#', {one}, {two})",
            f"string.match({text}, {self._pick(*_PATTERNS)})", f"unpack({{{one}, {two}}})",
            f"string.gsub({text}, {self._pick(*_PATTERNS)}, {self._pick(*_STRINGS)})",
            f"table.concat({{{text}, {more}}}, ',')", f"rawequal({one}, {two})",
            f"pcall(string.rep, {one}, 2)", f"(pcall(error, {one}))", f"assert({one} or 1, {two})",
            f"cjson.encode({text})", f"cjson.encode({{{text}, {other}}})", f"cjson.decode({more})",
            f"cjson.encode({{k = {number}}})", f"string.byte({text}, 1, 3)", f"string.char({one})",
            f"tonumber({text}, {self._pick('10', '16', '2', '36', '8')})", f"math.sqrt({number})",
            f"(next({{{one}}}))", f"redis.sha1hex({text})", f"redis.error_reply({text})",
            f"(function(...) return select('#', ...) end)({one}, {two})", f"math.modf({number})",
            f"string.find({text}, {more}, 1, true)", f"string.reverse({text})",
            f"redis.pcall('set', 'k', {text})", "redis.pcall('incrby', 'k', 3)",
            "redis.call('get', 'k')", f"redis.pcall('incr', {text})", f"redis.pcall({one}, {two})",
            f"pcall(cjson.decode, {text})", f"pcall(string.find, {text}, {more})",
            f"cjson.encode(cjson.decode(cjson.encode({{{number}, {{{text}}}}})))",
            f"string.gsub({text}, {self._pick(*_PATTERNS)}, function(a, b) return b or a end)",
            f"string.gsub({text}, {self._pick(*_PATTERNS)}, {{a = 1, l = {one}}})",
            f"table.remove({{{one}, {two}}}, {self._pick('1', '2', '3')})",
            "redis.call('set', 'k', math.floor(num(" + one + ")), 'ex', 100)",
        )  # fmt: skip


_SHOW = """local function show(v, deep)
  deep = deep or 0
  if type(v) == 'table' and deep < 3 then
    local keys = {}
    for k, e in pairs(v) do keys[#keys + 1] = type(k) .. tostring(k) .. '=' .. show(e, deep + 1) end
    table.sort(keys)
    return '{' .. table.concat(keys, ';') .. '}'
  end
  return type(v) .. ':' .. tostring(v)
end
local function num(v)
  v = tonumber(v) or 3
  return v == v and v or 3
end
local function str(v)
  if v == v and (type(v) == 'string' or type(v) == 'number') then return v end
  return type(v)
end"""
