"""docs/reference/countercluster.md from the CRD's schema: `python generators/crd_page.py`. A test fails
while the page is stale."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "countercluster.md"
HEAD = """# The CounterCluster resource

Made from `crds/countercluster.yaml` by `generators/crd_page.py`.
Group `countercluster.io`, version `v1alpha1`, short name `cc`; `spec: {}` is a whole cluster.

For a CounterCluster `clicks` there are: StatefulSet `clicks` with pods `clicks-0`…, client Service `clicks` (6379), headless Service `clicks-peers`,
Redis Deployment and Service `clicks-cache` (6379), Secret `clicks-client` with what an application needs (keys type, host, port,
username, password, uri, cache-uri, ca.crt). The Secrets `clicks-private`, `-nodes`, `-users` and `-cache`:
[security](../operating/security.md#what-lies-where).
"""


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field with its path, depth first."""
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, field
        yield from fields(field, here)
        if field.get("type") == "array":
            yield from fields(field.get("items", {}), f"{here}[]")


def _limits(field: dict[str, Any]) -> str:
    parts = [
        f"{word} {field[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"))
        if key in field
    ]
    if "enum" in field:
        parts.append("one of " + ", ".join(f"`{v}`" for v in field["enum"]))
    if "default" in field and not isinstance(field["default"], dict):
        parts.append(
            f"default `{field['default']!r}`"
            if field["default"] == ""
            else f"default `{field['default']}`"
        )
    return "; ".join(parts)


def rendered() -> str:
    crd = yaml.safe_load((ROOT / "crds" / "countercluster.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [HEAD]
    for part in ("spec", "status"):
        rows = [
            f"| `{path}` | {field['type']} | {field.get('description', '')} | {_limits(field)} |"
            for path, field in fields(schema["properties"][part])
        ]
        parts.append(
            f"## {part}\n\n| field | type | meaning | limits and default |\n|---|---|---|---|\n"
            + "\n".join(rows)
            + "\n"
        )
    owners = (schema, *(field for _, field in fields(schema)))
    rules = dict.fromkeys(
        rule["message"] for owner in owners for rule in owner.get("x-kubernetes-validations", [])
    )
    parts.append(
        "## Refused at apply\n\nBesides the limits above:\n\n"
        + "".join(f"- {message}\n" for message in rules)
    )
    return "\n".join(parts)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(rendered())
