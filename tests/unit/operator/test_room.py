"""Settings that would have a node killed at its memory limit are refused, and the numbers are the
node's own."""

from __future__ import annotations

from typing import Any

import pytest
from counter_node import memory
from countercluster_operator import room
from countercluster_operator.model import InvalidSpec, decode
from countercluster_operator.room import MIB, quantity, too_much
from hypothesis import given
from hypothesis import strategies as st


def limits(mib: int) -> dict[str, Any]:
    return {"limits": {"memory": f"{mib}Mi"}}


def test_the_numbers_are_those_of_the_nodes() -> None:
    for name in ("PROCESS", "CLIENTS_SHARE", "MOST_CLIENTS", "LOG_SHARE"):
        assert getattr(room, name) == getattr(memory, name)


@given(st.integers(128, 1 << 16), st.integers(0, 1 << 14), st.integers(0, 1 << 16))
def test_what_is_let_through_fits_the_limit_with_all_parts_full(
    mib: int, client_mib: int, state_mib: int
) -> None:
    clients = memory.client_bytes(client_mib * MIB, mib * MIB)
    state = state_mib * MIB or memory.state_bytes(mib * MIB, clients)
    fits = memory.needs(mib * MIB, clients, state) <= mib * MIB
    refused = too_much(limits(mib), client_mib, state_mib)
    if not (client_mib or state_mib):
        assert not refused
    elif state > memory.LEAST:
        assert bool(refused) == (not fits)


def test_a_spec_that_does_not_fit_is_refused_with_the_numbers_and_the_remedy() -> None:
    body: dict[str, Any] = {
        "metadata": {"name": "c", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"resources": limits(512), "settings": {"maxStateMiB": 300}},
    }
    with pytest.raises(
        InvalidSpec,
        match=r"maxStateMiB is 300 and clientMiB 0: of the memory limit \(512 MiB\).*may take "
        r"199 at most.*Raise",
    ):
        decode(body, "image", "cache")
    body["spec"]["settings"] = {"maxStateMiB": 190}
    assert decode(body, "image", "cache").spec.settings.max_state_mib == 190
    body["spec"]["settings"] = {"maxStateMiB": 190, "clientMiB": 100}
    with pytest.raises(InvalidSpec, match="100 for clients"):
        decode(body, "image", "cache")
    body["spec"]["resources"] = {"limits": {"cpu": 1}}
    assert decode(body, "image", "cache")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512Mi", 512 << 20),
        ("1.5Gi", 3 << 29),
        ("2G", 2 * 10**9),
        (1_000, 1_000),
        ("1e3", 1_000),
        ("5000m", 5),
        (None, 0),
        ("lots", 0),
        ("1Xi", 0),
    ],
)
def test_quantities(text: Any, expected: int) -> None:
    assert quantity(text) == expected
