"""Container commands: those that are several, such as CLIENT SETNAME. Each subcommand is found and
counted before a transaction queues it, like a command of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from counter_node.counters.replies import Simple
from counter_node.resp.actions import Action, Refusal, Reply, Slow
from counter_node.resp.session import Session, Subcommand, fits

Take = Callable[[Session, list[bytes]], Action | Slow]


class ContainerCommand:
    def __init__(
        self, name: str, subcommands: Mapping[str, Subcommand], alone: Take | None = None
    ) -> None:
        """`alone`: takes the name without a subcommand."""
        self.name = name
        self.subcommands = subcommands
        self._alone = alone

    def find(self, words: list[bytes]) -> Take:
        """Raises Refusal for a subcommand that is not known, or a wrong number of words."""
        if len(words) < 2:
            if self._alone is not None:
                return self._alone
            raise Refusal(f"ERR wrong number of arguments for '{self.name}' command")
        given = words[1].decode("latin-1")
        if given.upper() == "HELP" and len(words) == 2:
            return lambda session, words: Reply(self.help())
        subcommand = self.subcommands.get(given.upper())
        if subcommand is None:
            raise Refusal(
                f"ERR unknown subcommand '{given.partition(chr(0))[0][:128]}'. Try "
                f"{self.name.upper()} HELP."
            )
        if not fits(subcommand.arity, len(words)):
            raise Refusal(
                f"ERR wrong number of arguments for '{self.name}|{given.lower()}' command"
            )
        return subcommand.take

    def check(self, words: list[bytes]) -> None:
        self.find(words)

    def take(self, session: Session, words: list[bytes]) -> Action | Slow:
        take = self.find(words)
        if len(words) > 1:
            session.last_command = f"{self.name}|{words[1].decode('latin-1').lower()}"
        return take(session, words)

    def help(self) -> list[Simple]:
        lines = [f"{self.name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"]
        for name, subcommand in self.subcommands.items():
            usage, _, meaning = subcommand.help.partition(": ")
            lines += [f"{name} {usage}".strip(), f"    {meaning}"]
        return [Simple(line) for line in [*lines, "HELP", "    Print this help."]]
