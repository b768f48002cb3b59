"""What a node agrees to on its ports: versions, suites, and no session of another member.
Handshakes in memory."""

from __future__ import annotations

import ssl
import warnings

import pytest
from counter_node.security.tls import SUITES_OF_1_2, Tls
from countercluster_operator.resources import cache

from tests.support.certificates import CLUSTER, Folder


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tls, Tls]:
    folder = Folder(tmp_path_factory.mktemp("tls"), 2)
    return Tls(folder.path, CLUSTER, "node-0"), Tls(folder.path, CLUSTER, "node-1")


def shaken(
    server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLObject:
    """The client's side after the handshake, and after what the server says right behind it. Raises
    ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, session=session)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    there.write(b"+OK")
    assert here.read() == b"+OK"
    return here


def stranger(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    return context


CBC = ("ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA", "AES128-SHA")
STATIC = ("AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384")


@pytest.mark.parametrize("suite", [*CBC, *STATIC])
def test_no_suite_without_forward_secrecy_or_in_cbc_mode(
    members: tuple[Tls, Tls], suite: str
) -> None:
    with pytest.raises(ssl.SSLError):
        shaken(members[0].current.clients, stranger(ssl.TLSVersion.TLSv1_2, f"{suite}:@SECLEVEL=0"))


def test_a_client_of_tls_1_2_gets_a_modern_suite(members: tuple[Tls, Tls]) -> None:
    found = shaken(members[0].current.clients, stranger(ssl.TLSVersion.TLSv1_2)).cipher()
    assert found is not None
    assert found[0].startswith("ECDHE-")
    assert any(word in found[0].replace("-", "") for word in ("GCM", "CHACHA20"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_no_older_version_on_any_port(members: tuple[Tls, Tls], version: ssl.TLSVersion) -> None:
    for context in (members[0].current.clients, members[0].current.members):
        with pytest.raises(ssl.SSLError):
            shaken(context, stranger(version))


def test_members_and_the_operator_speak_tls_1_3_alone(members: tuple[Tls, Tls]) -> None:
    with pytest.raises(ssl.SSLError):
        shaken(members[0].current.members, stranger(ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_one_member_is_none_at_another(
    members: tuple[Tls, Tls], version: ssl.TLSVersion
) -> None:
    client = stranger(version)
    first = shaken(members[0].current.clients, client)
    if first.session is None:
        return
    assert not first.session.has_ticket, "who holds the key of tickets reads what was said before"
    assert not shaken(members[1].current.clients, client, first.session).session_reused


def test_redis_agrees_to_the_same() -> None:
    assert cache.SUITES_OF_1_2 == SUITES_OF_1_2
