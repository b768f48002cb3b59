"""The names that a script finds: what each is, and which are Lua's or Redis's and are not here.

The compiler asks it what a name is; the engine fills in the functions. A name more is another
VERSION (engine.py) and another level of the cluster; `tests/unit/resp/test_called.py: NAMES` fails
for one."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from counter_node.script import (
    library_base,
    library_json,
    library_match,
    library_math,
    library_redis,
    library_string,
    library_table,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    symbol: str
    """What a direct call of it is, in the compiled program; empty: it is no function."""
    value_symbol: str
    single: bool = False
    """It always returns one value."""
    number: bool = False
    """A number, and always."""


TABLES: Final[dict[str, tuple[Any, ...]]] = {
    "": (library_base,),
    "string": (library_string, library_match),
    "table": (library_table,),
    "math": (library_math,),
    "cjson": (library_json,),
    "redis": (library_redis,),
}
"""The modules that make up each table; that without a name has the globals. A module has FUNCTIONS,
each name with what it returns ("one", "number" or "any"), CONSTANTS, and the class Functions."""

UNSUPPORTED: Final = {
    "_G": "globals have names that are known before the script runs",
    "load": "a script makes no other program",
    "loadstring": "a script makes no other program",
    "collectgarbage": "memory is counted, not collected",
    "gcinfo": "memory is counted, not collected",
    "setmetatable": "tables have no metatables here",
    "getmetatable": "tables have no metatables here",
    "coroutine": "there are no coroutines here",
    "bit": "not in this version of the engine",
    "struct": "not in this version of the engine",
    "cmsgpack": "not in this version of the engine",
    "math.random": "each node would draw another number; give one as an argument",
    "math.randomseed": "each node would draw another number; give one as an argument",
    **dict.fromkeys(
        ("math.sin", "math.cos", "math.tan", "math.asin", "math.acos", "math.atan", "math.atan2",
         "math.sinh", "math.cosh", "math.tanh", "math.deg", "math.rad"),
        "its last digit differs between machines",
    ),
    "string.dump": "a script makes no other program",
    "redis.acl_check_cmd": "what a user may do is not part of the replicated state",
    "redis.debug": "there is no debugger",
    "redis.breakpoint": "there is no debugger",
    "redis.set_repl": "every write of a script is replicated",
    "cjson.encode_sparse_array": "settings of cjson would outlive the script",
    "cjson.encode_max_depth": "settings of cjson would outlive the script",
    "cjson.encode_number_precision": "settings of cjson would outlive the script",
    "cjson.encode_keep_buffer": "settings of cjson would outlive the script",
    "cjson.encode_invalid_numbers": "settings of cjson would outlive the script",
    "cjson.decode_max_depth": "settings of cjson would outlive the script",
    "cjson.decode_invalid_numbers": "settings of cjson would outlive the script",
    "cjson.new": "settings of cjson would outlive the script",
}  # fmt: skip


def _entries() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for table, modules in TABLES.items():
        if table:
            found[table] = Entry("", f"k_{table}")
        for module in modules:
            for name, returns in module.FUNCTIONS.items():
                full, flat = (f"{table}.{name}", f"{table}_{name}") if table else (name, name)
                found[full] = Entry(
                    f"c_{flat}", f"k_{flat}", single=returns != "any", number=returns == "number"
                )
            for name, value in module.CONSTANTS.items():
                full, flat = (f"{table}.{name}", f"{table}_{name}") if table else (name, name)
                found[full] = Entry("", f"k_{flat}", number=isinstance(value, float))
    return found


LIBRARY: Final = _entries()
