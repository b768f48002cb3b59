"""Lines of the Python program that a script becomes.

No text of a script gets into it but constants, as Python writes them: names are numbers."""

from __future__ import annotations

from counter_node.script.errors import CompileError

_INDENT = 90
"""Python refuses 100 levels."""


class Writer:
    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.indent = 0
        self.weight = 0
        """Steps of the block that is being written."""
        self._temporaries = 0

    def emit(self, text: str) -> None:
        self.lines.append((self.indent, text))

    def text(self) -> str:
        return "\n".join([" " * indent + text for indent, text in self.lines]) + "\n"

    def temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"

    def deeper(self, line: int) -> None:
        self.indent += 1
        if self.indent > _INDENT:
            raise CompileError(line, "chunk has too many syntax levels: blocks inside each other")

    def cut(self, mark: int) -> list[tuple[int, str]]:
        """Takes back what was written since `mark`."""
        taken, self.lines[mark:] = self.lines[mark:], []
        return taken

    def again(self, lines: list[tuple[int, str]], deeper: int) -> None:
        self.lines += [(indent + deeper, text) for indent, text in lines]
