"""What the API server refuses at once, in words that name the field, the value and the limit."""

from __future__ import annotations

import pytest

from examples.demo_kube import Namespace, Object, kubectl
from tests.e2e.rig import manifest

REFUSED: list[tuple[str, Object, list[str]]] = [
    ("no-replicas", {"replicas": 0}, ["spec.replicas", "1"]),
    ("too-many", {"replicas": 8}, ["spec.replicas", "7"]),
    ("replicas-in-words", {"replicas": "three"}, ["spec.replicas", "integer"]),
    ("image-a-number", {"image": 5}, ["spec.image", "string"]),
    ("storage-no-size", {"storage": {"size": "big"}}, ["spec.storage.size"]),
    (
        "storage-retain",
        {"storage": {"retain": "Perhaps"}},
        ["spec.storage.retain", "Retain", "Delete"],
    ),
    ("cache-replicas", {"cache": {"replicas": -1}}, ["spec.cache.replicas"]),
    ("misspelt", {"replica": 3}, ["replica"]),
]


@pytest.mark.parametrize(
    ("spec", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_an_invalid_spec_is_refused_with_the_reason(
    kubernetes: None, spec: Object, words: list[str]
) -> None:
    said = kubectl(
        "-n",
        "default",
        "apply",
        "--dry-run=server",
        "-f",
        "-",
        stdin=manifest("refused", spec),
        check=False,
    )
    assert "created" not in said, f"accepted: {spec}"
    for word in words:
        assert word in said, f"the message does not say {word!r}: {said}"


def test_a_name_too_long_for_its_children_is_refused(kubernetes: None) -> None:
    said = kubectl(
        "-n",
        "default",
        "apply",
        "--dry-run=server",
        "-f",
        "-",
        stdin=manifest("a" * 64, {}),
        check=False,
    )
    assert "created" not in said
    assert "name" in said


def test_a_valid_neighbour_is_accepted(space: Namespace) -> None:
    """The refusals above are not refusals of everything."""
    assert "created" in space(
        "apply",
        "--dry-run=server",
        "-f",
        "-",
        stdin=manifest("fine", {"replicas": 7, "storage": {"retain": "Retain"}}),
    )
