"""Certificates that somebody else makes, under load: used, renewed, changed, and refused where they
are unfit."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from countercluster_operator.credentials.certificates import Names, Pair, advance, leaf

from tests.apiserver.secured import (
    SECURED,
    Client,
    counting,
)
from tests.apiserver.secured import here as here  # fixtures
from tests.apiserver.secured import namespace as namespace
from tests.apiserver.secured import operator as operator
from tests.apiserver.secured import secured as secured
from tests.apiserver.world import ROOT, World
from tests.support.certificates import now, secret_of
from tests.support.operators import Operator

pytestmark = pytest.mark.timeout(600)


def issue(here: World, wanted: dict[str, Any], namespace: str, authority: Pair) -> bytes:
    """Does what cert-manager does for a Certificate. What is shown on the wire then."""
    names = Names(wanted["commonName"], tuple(wanted["dnsNames"]), (), tuple(wanted["uris"]))
    pair = leaf(authority, names, now())
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": wanted["secretName"], "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in files.items()},
    }
    here.server.apply(secret).ok()
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


def test_a_certificate_as_the_docs_ask_cert_manager_for_it_does_and_its_renewal_is_followed(
    here: World, operator: Operator, namespace: str, tmp_path: Path
) -> None:
    """The names in docs/operating/security.md are all that is needed, under an authority of
    somebody else."""
    page = (ROOT / "docs/operating/security.md").read_text()
    block = page.split("With cert-manager")[1].split("```yaml\n")[1].split("```")[0]
    wanted = yaml.safe_load(block.replace("shop", namespace))["spec"]
    authority = advance(None, "somebody", now()).signing

    first = issue(here, wanted, namespace, authority)
    here.cluster(namespace, "clicks", tls={"secretName": wanted["secretName"]}, auth={})
    here.wait_ready(namespace, "clicks")
    client = Client(here, namespace, "clicks", tmp_path)

    def shown() -> set[bytes]:
        return {
            ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((ip, 6379), timeout=5))
            for ip in client.ips()
        }

    assert shown() == {first}
    with counting(client) as values:
        second = issue(here, wanted, namespace, authority)
        here.wait("the nodes show the new one", lambda: shown() == {second})
        seen = len(values)
        here.wait("it goes on counting", lambda: len(values) > seen + 20)
    here.edit(
        namespace,
        "clicks",
        tls={"secretName": wanted["secretName"]},
        settings={"logLevel": "debug"},
    )
    here.wait_ready(namespace, "clicks")
    assert wanted["secretName"] not in here.server.kubectl(
        "get", "sts,pods", "-n", namespace, "-o", "yaml"
    ), "pods mount a copy"


def put(
    here: World, namespace: str, name: str, authority: Pair, usages: str = "c", replicas: int = 3
) -> bytes:
    """A Secret for CounterCluster `usages`, of an authority of somebody else; its authority."""
    here.server.apply(secret_of(authority, namespace, name, usages, replicas)).ok()
    return authority.certificate


def test_certificates_of_somebody_else_come_change_and_go_under_load_without_a_failed_command(
    here: World, secured: Client, namespace: str
) -> None:
    """In each step both authorities are trusted by everybody: clients (the Secret), nodes, and the
    operator."""
    one, two = (advance(None, name, now()).signing for name in ("one", "two"))
    put(here, namespace, "first", one)
    put(here, namespace, "second", two)
    pods = [
        pod["metadata"]["uid"]
        for pod in here.server.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    ]
    texts: set[str] = set()

    def settled(trusted: bytes | None) -> bool:
        """`trusted` is the only authority; None: one of the operator's own."""
        secured.refresh()
        found = here.get(namespace, "c")["status"]
        texts.update(c["reason"] for c in found["conditions"])
        bundle = (secured.folder / "ca.crt").read_bytes()
        alone = (
            bundle == trusted
            if trusted
            else bundle.count(b"BEGIN") == 1 and bundle not in (one.certificate, two.certificate)
        )
        return alone and not found["certificates"].get("phase")

    with counting(secured) as values:
        for name, trusted in (("first", one.certificate), ("second", two.certificate), ("", None)):
            here.edit(namespace, "c", tls={"secretName": name})
            here.wait(f"secretName {name!r} is in force", lambda t=trusted: settled(t))
            seen = len(values)
            here.wait("it goes on counting", lambda s=seen: len(values) > s + 20)
    assert not texts & {"QuorumLost", "NoLeader", "MajorityNotReady", "CertificateRefused"}
    assert [
        pod["metadata"]["uid"]
        for pod in here.server.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    ] == pods


def test_a_secret_that_is_missing_or_unfit_changes_nothing_and_is_reported(
    here: World, secured: Client, namespace: str
) -> None:
    before = {
        part: here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-{part}")["data"]
        for part in ("nodes", "client", "private")
    }
    put(here, namespace, "of-another", advance(None, "somebody", now()).signing, "bank")

    def says(words: str) -> bool:
        condition = here.condition(namespace, "c")
        return condition.get("reason") == "CertificateRefused" and words in condition["message"]

    with counting(secured):
        here.edit(namespace, "c", tls={"secretName": "nowhere"})
        here.wait("it is reported", lambda: says("Secret nowhere is not there"))
        here.edit(namespace, "c", tls={"secretName": "of-another"})
        here.wait(
            "it is reported", lambda: says(f"lacks URI countercluster://{namespace}/c/node/c-0")
        )
        here.edit(namespace, "c", tls={"secretName": "c-nodes"})
        here.wait("it is reported", lambda: says("made by the operator itself"))
    assert here.condition(namespace, "c", "QuorumHealthy")["status"] == "True"
    for part, data in before.items():
        assert (
            here.server.get(f"/api/v1/namespaces/{namespace}/secrets/c-{part}")["data"] == data
        ), part
    here.edit(namespace, "c", tls={"secretName": ""})
    here.wait_ready(namespace, "c")


def test_nothing_is_made_that_mounts_a_secret_which_is_refused(
    here: World, operator: Operator, namespace: str
) -> None:
    """And once there is a fit one the cluster forms by itself."""
    data = {"token": "of somebody else", "tls.crt": "x", "tls.key": "y", "ca.crt": "z"}
    meta = {"name": "foreign", "namespace": namespace}
    here.server.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}
    ).ok()
    here.cluster(namespace, "c", **{**SECURED, "tls": {"secretName": "foreign"}})
    here.wait(
        "it is reported",
        lambda: here.condition(namespace, "c").get("reason") == "CertificateRefused",
    )
    assert here.server.get(f"/apis/apps/v1/namespaces/{namespace}/statefulsets")["items"] == []
    assert here.server.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"] == []
    put(here, namespace, "mine", advance(None, "somebody", now()).signing)
    here.edit(namespace, "c", tls={"secretName": "mine"})
    here.wait_ready(namespace, "c")
    assert "foreign" not in here.server.kubectl("get", "sts,pods", "-n", namespace, "-o", "yaml")
