"""docs/reference/kubectl.md from the plugin's own help: `python docs/kubectl_page.py`. A test fails while the page is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from kubectl_counters.__main__ import app

PAGE = Path(__file__).resolve().parent / "reference" / "kubectl.md"
HEAD = """# kubectl counters

Made from the plugin's help by `docs/kubectl_page.py`.
`pip install "countercluster[kubectl]"` (or pipx) puts `kubectl-counters` on PATH, where kubectl finds it.
It needs the rights to get CounterClusters, list pods and events, read logs and forward ports; to change something, those to patch CounterClusters.
Before the command: `-n NAMESPACE`, `--context`, `--kubeconfig`. For completion of the shell: `kubectl-counters --install-completion`.

A `report` has states, events, metrics and logs; Secrets are not asked for, names and values of counters are left out, and what looks like a
password, key or token is struck out. Look through it all the same before you send it.
`incr` ends with code 75 when it is not known whether it was counted.
"""


def rendered() -> str:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    rows = []
    for name, command in commands.items():
        words, options = [], []
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                word = parameter.name.upper() + ("…" if parameter.nargs == -1 else "")
                words.append(word if parameter.required else f"[{word}]")
            elif parameter.name != "help":
                options.append(f"`{' '.join(parameter.opts)}` {parameter.help}")
        rows.append(f"| `{' '.join([name, *words])}` | {command.help} | {'; '.join(options)} |")
    return f"{HEAD}\n| command | what it does | options |\n|---|---|---|\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(rendered())
