"""The version of a release in copies of the sources, which say another one between releases."""

from __future__ import annotations

import re
from pathlib import Path

_LINE = re.compile(r'^__version__ = "[^"]*"$', re.MULTILINE)


def stamp(tree: Path, version: str) -> list[Path]:
    """In every package below a folder that knows its version; these. Raises Problem where there is
    none."""
    stamped = []
    for file in sorted(tree.rglob("__init__.py")):
        text, count = _LINE.subn(f'__version__ = "{version}"', file.read_text())
        if count:
            file.write_text(text)
            stamped.append(file)
    return stamped
