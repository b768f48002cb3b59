"""JSON schemas for kubeconform from the API server's own OpenAPI document, so that nothing has to
be fetched and custom resources are known, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_KINDS = "x-kubernetes-group-version-kind"


def write(openapi: Schema, folder: Path) -> str:
    """One file for each kind; returns the pattern of their names for -schema-location."""
    definitions = {name: _strict(found) for name, found in openapi["definitions"].items()}
    definitions[_QUANTITY] = {"type": ["string", "number"]}
    definitions[_INT_OR_STRING] = {"type": ["string", "integer"]}
    for name, found in definitions.items():
        for kind in found.get(_KINDS, []):
            group = kind["group"].partition(".")[0]
            stem = "-".join(part for part in (kind["kind"], group, kind["version"]) if part).lower()
            needed = _reached(name, definitions)
            (folder / f"{stem}.json").write_text(
                json.dumps({"$ref": f"#/definitions/{name}", "definitions": needed})
            )
    return str(folder / "{{.ResourceKind}}{{.KindSuffix}}.json")


def _strict(found: Schema) -> Schema:
    """Fields that are not named are errors, wherever the API server would drop them."""
    found = dict(found)
    if "properties" in found:
        found["properties"] = {name: _strict(part) for name, part in found["properties"].items()}
        if not found.get("x-kubernetes-preserve-unknown-fields"):
            found.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _strict(found[key])
    if found.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
        found.pop("format", None)
    return found


def _reached(name: str, definitions: dict[str, Schema]) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    todo = [name]
    while todo:
        here = todo.pop()
        if here not in found:
            found[here] = definitions[here]
            todo += [ref.removeprefix("#/definitions/") for ref in _refs(definitions[here])]
    return found


def _refs(part: Any) -> list[str]:
    if isinstance(part, list):
        return [ref for p in part for ref in _refs(p)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [ref for p in part.values() for ref in _refs(p)]
