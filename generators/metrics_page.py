"""docs/reference/metrics.md from the tables of the code: `python generators/metrics_page.py`. A
test fails while the page is stale."""

from __future__ import annotations

import argparse
from pathlib import Path

from counter_node.views.metric_families import FAMILIES, HISTOGRAMS
from countercluster_operator.run.health import Health
from prometheus_client import ProcessCollector

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "metrics.md"
HEAD = """# Metrics

Made from the code by `generators/metrics_page.py`. Every node serves them on `/metrics` of its HTTP port (8080), and so does the operator with its own.
What to make of them: [watch](../operating/watch.md).
"""

Row = tuple[str, str, str, str]  # name, kind, labels, meaning


def node_rows() -> list[Row]:
    rows = [
        (name + "_total" * (f.kind == "counter"), f.kind, ", ".join(f.labels), f.text)
        for name, f in {**FAMILIES, **HISTOGRAMS}.items()
    ]
    return [
        *rows,
        ("process_*", "", "", "Memory, CPU and open files of the process, as everywhere"),
    ]


def operator_rows() -> list[Row]:
    health = Health(lambda: 0.0, lambda: 0, lambda: {"get": 0})
    rows = []
    for family in health.registry.collect():
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        name = family.name + "_total" * (family.type == "counter")
        rows.append(
            (
                name,
                family.type,
                ", ".join(labels) or ("result" if name.endswith("reconciles_total") else ""),
                family.documentation,
            )
        )
    return rows


def names() -> set[str]:
    """Every name that a query may use: of a histogram those of its parts."""
    rows = [*node_rows(), *operator_rows()]
    parts = {
        f"{name}_{part}"
        for name, kind, _, _ in rows
        if kind == "histogram"
        for part in ("bucket", "sum", "count")
    }
    of_the_process = {
        sample.name
        for family in ProcessCollector(registry=None).collect()
        for sample in family.samples
    }
    return parts | of_the_process | {name for name, kind, _, _ in rows if kind != "histogram"}


def rendered() -> str:
    parts = [HEAD]
    for title, rows in (("Nodes", node_rows()), ("Operator", operator_rows())):
        lines = [f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in rows]
        parts.append(
            f"## {title}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
            + "\n".join(lines)
            + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(rendered())
