"""A client of a server without sockets, for tests of commands."""

from __future__ import annotations

import pytest

from tests.support.local import LocalServer
from tests.support.unit.line_client import Client


@pytest.fixture
def server() -> LocalServer:
    return LocalServer()


@pytest.fixture
def client(server: LocalServer) -> Client:
    return Client(server.connect())
