"""A short run of the fuzzer; `make fuzz INPUTS=10000000` is the long one."""

from __future__ import annotations

import random

import pytest
from counter_node.resp import keyed
from counter_node.resp.encode import encode_many

from tests.fuzz import __main__ as fuzz
from tests.fuzz import inputs
from tests.support import local


def test_three_thousand_made_up_connections_do_no_harm() -> None:
    assert fuzz.run(3_000, seed=3, say=False) > 3_000


def test_the_same_seed_makes_the_same_inputs() -> None:
    assert [inputs.stream(random.Random(n)) for n in range(50)] == [
        inputs.stream(random.Random(n)) for n in range(50)
    ]


def test_an_exception_in_a_command_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "integer", int)
    with pytest.raises(fuzz.FuzzError, match="seed 3, input "):
        fuzz.run(3_000, seed=3, say=False)


def test_a_reply_cut_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        local, "encode", lambda reply, protocol: encode_many([reply], protocol)[:-1]
    )
    with pytest.raises(fuzz.FuzzError):
        fuzz.run(50, seed=3, say=False)
