"""Commands that are families of commands, such as CLIENT SETNAME: found and counted at the door,
like commands of their own."""

from __future__ import annotations

from collections.abc import Callable

from counter_node.counters.replies import Simple
from counter_node.resp.actions import Action, Refusal, Reply
from counter_node.resp.session import Session

Take = Callable[[Session, list[bytes]], Action]


class Family:
    """`members`: name → (arity as in COMMAND, counting both words of the name; what takes it; words
    of its help)."""

    def __init__(self, name: str, members: dict[str, tuple[int, Take, str]]) -> None:
        self.name = name
        self.members = members

    def find(self, words: list[bytes]) -> Take:
        """Raises Refusal for a member that is not known, or a wrong number of words."""
        if len(words) < 2:
            raise Refusal(f"ERR wrong number of arguments for '{self.name}' command")
        given = words[1].decode("latin-1")
        if given.upper() == "HELP" and len(words) == 2:
            return lambda session, words: Reply(self.help())
        member = self.members.get(given.upper())
        if member is None:
            raise Refusal(
                f"ERR unknown subcommand '{given.partition(chr(0))[0][:128]}'. Try "
                f"{self.name.upper()} HELP."
            )
        arity, take, _ = member
        if len(words) != arity and (arity > 0 or len(words) < -arity):
            raise Refusal(
                f"ERR wrong number of arguments for '{self.name}|{given.lower()}' command"
            )
        return take

    def door(self, words: list[bytes]) -> None:
        self.find(words)

    def take(self, session: Session, words: list[bytes]) -> Action:
        take = self.find(words)
        session.last_command = f"{self.name}|{words[1].decode('latin-1').lower()}"
        return take(session, words)

    def help(self) -> list[Simple]:
        lines = [f"{self.name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
        for name, (_, _, text) in self.members.items():
            usage, _, meaning = text.partition(": ")
            lines += [f"{name} {usage}".strip(), f"    {meaning}"]
        return [Simple(line) for line in [*lines, "HELP", "    Print this help."]]
