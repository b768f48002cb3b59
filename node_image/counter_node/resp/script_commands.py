"""Rows of the table of commands: scripts. Their handlers are in scripts.py."""

from __future__ import annotations

from counter_node.resp import scripts
from counter_node.resp.session import NO_KEYS, Command

_FLAGS = "noscript stale skip_monitor no_mandatory_keys movablekeys"
_SYNTAX = "numkeys [key …] [argument …]"

# One row tells everything about a command; session.py says what each field means.
# fmt: off
SCRIPTING = [
    Command("eval", -3, f"{_FLAGS} may_replicate", NO_KEYS, "scripting", scripts.evaluate,
        since="2.6.0", keys_counted_at=2, reveals=True, syntax=f"script {_SYNTAX}",
        summary="Runs a script, all of it or, if it fails, nothing."),
    Command("evalsha", -3, f"{_FLAGS} may_replicate", NO_KEYS, "scripting", scripts.evalsha,
        since="2.6.0", keys_counted_at=2, reveals=True, syntax=f"sha1 {_SYNTAX}",
        summary="The same, of a script that SCRIPT LOAD or EVAL brought."),
    Command("eval_ro", -3, f"readonly {_FLAGS}", NO_KEYS, "scripting", scripts.evaluate_ro,
        since="7.0.0", keys_counted_at=2, syntax=f"script {_SYNTAX}",
        summary="Runs a script that may call no command that writes."),
    Command("evalsha_ro", -3, f"readonly {_FLAGS}", NO_KEYS, "scripting", scripts.evalsha_ro,
        since="7.0.0", keys_counted_at=2, syntax=f"sha1 {_SYNTAX}",
        summary="The same, of a script that is known."),
    Command("script", -2, "noscript", NO_KEYS, "scripting", scripts.SCRIPT.take,
        precheck=scripts.SCRIPT.check, subcommands=scripts.SCRIPT.subcommands, since="2.6.0",
        syntax="LOAD script | EXISTS sha1 [sha1 …] | FLUSH",
        summary="The scripts that EVALSHA finds; SCRIPT HELP tells more."),
]
# fmt: on
