"""What spec.tls.secretName must hold: each fault is refused by itself, in words that say what to
do."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from countercluster_operator.credentials.certificates import Names, Pair, authority, leaf
from countercluster_operator.credentials.fitness import judge, wanted_hosts, wanted_uris
from countercluster_operator.model import Cache, Cluster, Spec, Tls
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLUSTER = Cluster("clicks", "shop", "uid", 1, Spec(tls=Tls(secret_name="mine")), "image", "cache")
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = Names("clicks", tuple(wanted_hosts(CLUSTER)), (), tuple(wanted_uris(CLUSTER)))
CA = authority("somebody", NOW)
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def files(pair: Pair | None = None, ca: bytes = CA.certificate) -> dict[str, bytes]:
    pair = pair or leaf(CA, NAMES, NOW)
    return {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca}


def secret(found: dict[str, bytes], **meta: Any) -> dict[str, Any]:
    data = {key: base64.b64encode(value).decode() for key, value in found.items()}
    return {"type": "kubernetes.io/tls", "metadata": {"name": "mine", **meta}, "data": data}


def refused(found: dict[str, bytes], cluster: Cluster = CLUSTER) -> str:
    kept, problems = judge(secret(found), cluster, NOW)
    assert bool(kept) != bool(problems)
    return "; ".join(problems)


def made(
    key: Any = None,
    usages: tuple[x509.ObjectIdentifier, ...] | None = BOTH,
    signs: bool = True,
    life: tuple[datetime.timedelta, datetime.timedelta] = (-DAY, DAY),
    names: Names | None = NAMES,
) -> Pair:
    """As somebody else's tool may make one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    ca = x509.load_pem_x509_certificate(CA.certificate)
    signer: Any = serialization.load_pem_private_key(CA.key, None)
    builder = x509.CertificateBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "c")])
    )
    builder = builder.issuer_name(ca.subject).serial_number(7).public_key(key.public_key())
    builder = builder.not_valid_before(NOW + life[0]).not_valid_after(NOW + life[1])
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    usage = x509.KeyUsage(signs, False, not signs, False, False, False, False, False, False)
    builder = builder.add_extension(usage, critical=True)
    if names is not None:
        carried: list[x509.GeneralName] = [x509.DNSName(n) for n in names.dns]
        carried += [x509.UniformResourceIdentifier(u) for u in names.uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(carried), critical=False)
    text = key.private_bytes(PEM, PKCS8, serialization.NoEncryption())
    return Pair(builder.sign(signer, hashes.SHA256()).public_bytes(PEM), text)


def test_what_a_good_secret_holds_is_given_back_in_one_form() -> None:
    pair = leaf(CA, NAMES, NOW)
    untidy = {
        **files(pair, b"# ours\n" + CA.certificate.strip() + b"\n\n" + CA.certificate),
        "more": b"x",
    }
    assert judge(secret(untidy), CLUSTER, NOW) == (files(pair), [])


@pytest.mark.parametrize(
    "pair",
    [
        lambda: made(usages=None),
        lambda: made(rsa.generate_private_key(65537, 2048)),
        lambda: leaf(
            CA,
            Names(
                "c", ("clicks.shop.svc", "*.clicks-peers.shop.svc", "*.shop.svc"), (), NAMES.uris
            ),
            NOW,
        ),
    ],
    ids=["no extended usages", "rsa", "wildcards"],
)
def test_what_other_tools_make_is_good(pair: Callable[[], Pair]) -> None:
    assert refused(files(pair())) == ""


def encrypted() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"word"))
    return Pair(made(key).certificate, text)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (dict, "has no tls.crt, tls.key, ca.crt"),
        (lambda: {**files(), "ca.crt": b""}, "has no ca.crt"),
        (lambda: {**files(), "tls.crt": b"nonsense"}, "tls.crt is no certificate in PEM"),
        (lambda: {**files(), "ca.crt": CA.key}, "ca.crt is no certificate in PEM"),
        (lambda: {**files(), "tls.key": b"nonsense"}, "tls.key is no private key"),
        (
            lambda: {**files(), "tls.key": leaf(CA, NAMES, NOW).key},
            "not the key of the first certificate",
        ),
        (lambda: files(encrypted()), "tls.key is encrypted"),
        (lambda: files(made(usages=BOTH[:1])), "lacks the usages client auth"),
        (lambda: files(made(usages=BOTH[1:])), "lacks the usages server auth"),
        (lambda: files(made(signs=False)), "lacks the usages digital signature"),
        (lambda: files(made(life=(-2 * DAY, -DAY))), "has expired at"),
        (lambda: files(made(life=(DAY, 2 * DAY))), "is not valid before"),
        (lambda: files(made(names=None)), "no subject alternative names"),
        (
            lambda: files(made(names=Names("c", NAMES.dns, (), NAMES.uris[1:]))),
            "lacks URI countercluster://shop/clicks/node/clicks-0",
        ),
        (
            lambda: files(made(names=Names("c", NAMES.dns, (), NAMES.uris[:3]))),
            "URI countercluster://shop/clicks/client/operator",
        ),
        (
            lambda: files(made(names=Names("c", NAMES.dns[1:], (), NAMES.uris))),
            "lacks DNS clicks.shop.svc",
        ),
        (lambda: files(ca=authority("another", NOW).certificate), "does not stand up to ca.crt"),
        (lambda: files(ca=leaf(CA, NAMES, NOW).certificate), "does not stand up to ca.crt"),
        (
            lambda: files(
                ca=CA.certificate + b"".join(authority("a", NOW).certificate for _ in range(64))
            ),
            "65 certificates; at most 64",
        ),
    ],
)
def test_each_fault_is_refused_in_words(found: Callable[[], dict[str, bytes]], words: str) -> None:
    assert words in refused(found())


def test_every_fault_is_reported_at_once() -> None:
    said = refused(files(made(usages=BOTH[:1], life=(-2 * DAY, -DAY), names=Names("c"))))
    assert "expired" in said
    assert "client auth" in said
    assert "DNS clicks-cache.shop.svc" in said


def test_what_is_not_there_is_ours_or_is_for_another_cluster_is_refused() -> None:
    assert judge(None, CLUSTER, NOW) == ({}, ["is not there"])
    ours = secret(files(), labels={"app.kubernetes.io/managed-by": "countercluster-operator"})
    assert "made by the operator" in judge(ours, CLUSTER, NOW)[1][0]
    other = Cluster("clicks", "bank", "uid", 1, Spec(), "image", "cache")
    assert "URI countercluster://bank/clicks/node/clicks-0" in refused(files(), other)
    broken = {"metadata": {"name": "mine"}, "data": {"tls.crt": "no base64"}}
    assert judge(broken, CLUSTER, NOW)[1]


def test_without_a_cache_its_name_is_not_asked_for() -> None:
    spec = Spec(tls=Tls(secret_name="mine"), cache=Cache(enabled=False), replicas=1)
    alone = Cluster("clicks", "shop", "uid", 1, spec, "image", "cache")
    names = Names("c", tuple(wanted_hosts(alone)), (), tuple(wanted_uris(alone)))
    assert refused(files(leaf(CA, names, NOW)), alone) == ""
    assert "clicks-cache" in refused(files(leaf(CA, names, NOW)))
