"""THE table of commands. COMMAND, the reference page, users' rights and the dispatch all come from
it.

A row tells everything about a command (session.py: `Command`); no second list stands beside it.
Its handler turns the words of a command (their number is checked already) into an action; it raises
Refusal for what is wrong with them.
"""

from __future__ import annotations

from counter_node.resp.categories import categories, of_subcommands
from counter_node.resp.keyed_commands import KEYED
from counter_node.resp.script_commands import SCRIPTING
from counter_node.resp.server_commands import ADMINISTRATION, SERVING
from counter_node.resp.session import Command
from counter_node.security.acl import Catalogue

BY_NAME = {command.name: command for command in (*KEYED, *SCRIPTING, *SERVING, *ADMINISTRATION)}
ON_ADMIN_PORT = frozenset({"administration", "connection", "server"})
"""Groups; all but the first are on the clients' port, together with all others."""


def _table(*, admin: bool) -> dict[bytes, Command]:
    """By name as clients spell it; other spellings are put into upper case first."""
    served = [
        command
        for command in BY_NAME.values()
        if (command.group in ON_ADMIN_PORT if admin else not command.admin_only)
    ]
    return {
        word: command
        for command in served
        for word in (command.name.encode(), command.name.upper().encode())
    }


TABLE, ADMIN_TABLE = _table(admin=False), _table(admin=True)


def _catalogue() -> Catalogue:
    members: dict[str, set[str]] = {}
    names: set[str] = set()
    for command in BY_NAME.values():
        if not command.admin_only:
            for name, found in ((command.name, categories(command)), *of_subcommands(command)):
                names.add(name)
                for category in found:
                    members.setdefault(category, set()).add(name)
    return Catalogue(frozenset(names), {name: frozenset(found) for name, found in members.items()})


CATALOGUE = _catalogue()
"""What users may be allowed (security/acl.py)."""
