"""Ports for nodes on this machine (counter_node/ports.py)."""

from __future__ import annotations

import socket

import pytest
from counter_node import ports


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "RANGE", range(19_000, 19_040))
    monkeypatch.setattr(ports, "_given", set())


def test_no_port_is_given_twice_although_nobody_listens_yet() -> None:
    """Three nodes of a cluster, three ports each: of 400 clusters one had a port twice, and never
    came up."""
    given = [port for _ in range(10) for port in ports.free_ports(3)]
    assert len(set(given)) == 30


def test_when_all_were_given_they_are_given_again() -> None:
    for _ in range(20):
        assert len(set(ports.free_ports(7))) == 7


def test_too_few_are_an_error_that_says_where() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 19_007))
        with pytest.raises(
            OSError, match=r"fewer than 40 ports between 19000 and 19040 are free on 127\.0\.0\.1"
        ):
            ports.free_ports(40)
