"""Base images by digest: what is pulled, what a build starts from, and what `make pin` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kind import metrics
from kind.packaging import apps, pinned
from kind.tools import engine
from kind.tools.shell import Problem
from kind.tools.store import Store

ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


class Engine:
    """Has what was pulled; a tag is what the registry says today."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tags = {"python:3.13": ONE, "example.com:5000/x/redis:8": OTHER}
        self.has: set[str] = set()
        self.pulled: list[str] = []
        monkeypatch.setattr(engine, "has_image", self.has.__contains__)
        monkeypatch.setattr(pinned, "run", self.run)

    def run(self, *words: Any, **_: Any) -> str:
        image = str(words[-1])
        if words[1] == "pull":
            tag, _, digest = image.partition("@")
            if digest and digest != self.tags.get(tag):
                raise Problem(f"{image}: manifest unknown")
            self.pulled.append(image)
            self.has.add(image)
            return ""
        name, _, _ = image.rpartition(":")
        found = (
            [f"elsewhere/other@{OTHER}", f"{name}@{self.tags[image]}"] if image in self.tags else []
        )
        return json.dumps([{"Id": "sha256:id", "RepoDigests": found}])


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    monkeypatch.setattr(
        pinned, "digests", lambda: json.loads((tmp_path / "digests.json").read_text())
    )
    (tmp_path / "digests.json").write_text("{}")
    return Engine(monkeypatch)


def test_what_is_written_down_is_pulled_by_digest_and_another_content_is_refused(
    registry: Engine, tmp_path: Path
) -> None:
    (tmp_path / "digests.json").write_text(json.dumps({"python:3.13": ONE}))
    assert pinned.pulled(Store(tmp_path), "python:3.13") == f"python:3.13@{ONE}"
    assert registry.pulled == [f"python:3.13@{ONE}"]
    assert pinned.pulled(Store(tmp_path), "python:3.13") == f"python:3.13@{ONE}"
    assert len(registry.pulled) == 1, "what the engine has is not asked for again"
    (tmp_path / "digests.json").write_text(json.dumps({"python:3.13": OTHER}))
    with pytest.raises(Problem, match="manifest unknown"):
        pinned.pulled(Store(tmp_path), "python:3.13")


@pytest.mark.parametrize(
    ("image", "digest"), [("python:3.13", ONE), ("example.com:5000/x/redis:8", OTHER)]
)
def test_what_came_by_a_tag_is_named_by_its_digest_from_then_on(
    registry: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, digest: str
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pinned, "say", said.append)
    assert pinned.pulled(Store(tmp_path), image) == f"{image}@{digest}"
    assert digest in said[0]


def test_an_image_that_was_made_here_keeps_its_name(registry: Engine, tmp_path: Path) -> None:
    registry.has.add("local:1")
    assert pinned.pulled(Store(tmp_path), "local:1") == "local:1"
    with pytest.raises(Problem, match="no digest"):
        pinned.pin(Store(tmp_path), ["local:1"], tmp_path / "out.json")


def test_pin_writes_what_the_tags_stand_for(registry: Engine, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    pinned.pin(Store(tmp_path), registry.tags, file)
    assert json.loads(file.read_text()) == registry.tags


@pytest.mark.parametrize(
    "text", ["", "[]", '{"python:3.13": "latest"}', '{"python:3.13": 1}', '{"a": "sha256:12"}']
)
def test_a_lock_file_that_makes_no_sense_stops_the_build(tmp_path: Path, text: str) -> None:
    (tmp_path / "digests.json").write_text(text)
    with pytest.raises(Problem, match=r"digests\.json"):
        pinned.digests(tmp_path / "digests.json")


def test_the_lock_file_names_nothing_that_is_not_pulled() -> None:
    known = {image for recipe in apps.RECIPES for image in recipe.pulled.values()} | {
        metrics.PULLED
    }
    assert set(pinned.digests()) <= known
