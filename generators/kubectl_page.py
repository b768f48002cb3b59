"""docs/reference/kubectl.md from the plugin's own help: `python generators/kubectl_page.py`. A test fails
while the page is stale."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import typer
from kubectl_counters.__main__ import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "kubectl.md"
HEAD = """# kubectl counters

Made from the plugin's help by `generators/kubectl_page.py`.
`pipx install '.[kubectl]'` in a clone (or pip, into any environment on PATH) makes `kubectl-counters`, which kubectl finds, and
`kubectl_complete-counters`, by which kubectl's own completion knows commands, options and names of CounterClusters.
Before the command or behind it (not behind `--`): `-n NAMESPACE`, `--context`, `--kubeconfig`. Every command has `-o json` and `-o yaml`.

It talks to the API server alone, with your rights, and to the nodes through its port-forward, TLS included. What it takes:

| to | you may |
|---|---|
| look (`status`, `top`, `logs`, `report`) | get and list counterclusters; list pods and events; get pods/log; create pods/portforward |
| `audit` | the same, and what its lines of severity `unknown` name ([audit](../operating/audit.md)) |
| count (`get`, `incr`, `scan`) | also get the Secret `<name>-client` |
| change (`restart`, `pause`, `resume`) | also patch counterclusters |
| `transfer` | also get the Secret `<name>-private` |

The admin port takes the operator's own certificate, hence the last row. Without the right to read that Secret, set `spec.maintenance` to the pod that leads,
and take it out again. A `report` also lists what the operator made, as far as you may.

A `report` has states, events, metrics and logs; Secrets are not asked for, names and values of counters are left out, and what looks like a
password, key or token is struck out. Look through it all the same before you send it.
`incr` ends with code 75 when it is not known whether it was counted, and `audit` with code 1 when something is open that should not be.
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
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(rendered())
