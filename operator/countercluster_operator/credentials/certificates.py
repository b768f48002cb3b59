"""Certificates of one cluster: an authority of its own, leaves that it signs, and the plan of when
each is made again. Pure: the time is given.

1. A leaf is made again at two thirds of its life, when the authority that signs changed, or when it
   lacks a name that is wanted.
2. The authority changes in three phases, `spread` apart, which is longer than a Secret takes to
   reach every pod:

       publish    the next authority is trusted too; the old one signs
       re-issue   the next one signs; both are trusted
       drop       only the new one is trusted

   so that at every moment each pod trusts the certificate of each other pod, however late a Secret
   reached either (tests/unit/security).
3. The authority changes at two thirds of its own life, or when it is asked for (`rotate`).
4. Authorities of somebody else (spec.tls.secretName) are one whose key is not here: `Pair(bundle,
   b"")`. They come and go in the same phases, in both directions. Who changes their mind while the
   next one is only published gets what is wanted now: nobody has shown a certificate of the other
   yet. In any other phase the change waits until that is over.
5. What may have been published before is published again only when every node that answers has
   what is published now. Else a node that has the earlier bundle of the same content would be
   taken for one that has the new one. A new authority of our own is never the same as before.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Moment = datetime.datetime
AUTHORITY_LIFE = datetime.timedelta(days=3650)
LEAF_LIFE = datetime.timedelta(days=90)
SPREAD = datetime.timedelta(minutes=10)
CLOCKS_DIFFER = datetime.timedelta(minutes=5)
"""A certificate is valid a little before it is made: clocks of machines differ."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """PEM."""

    certificate: bytes
    key: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """`signing` signs. `next`: will sign, is trusted already. `old`: does not sign any more, is
    still trusted. `since`: when the phase began."""

    signing: Pair
    since: Moment
    next: Pair | None = None
    old: bytes | None = None

    @property
    def bundle(self) -> bytes:
        """What pods and clients trust, each certificate once."""
        texts = (
            ([self.next.certificate] if self.next else [])
            + [self.signing.certificate]
            + ([self.old] if self.old else [])
        )
        return (
            texts[0]
            if len(texts) == 1
            else b"".join(dict.fromkeys(block for text in texts for block in blocks(text)))
        )

    @property
    def phase(self) -> str:
        return "publish" if self.next else "re-issue" if self.old else ""


_END = b"-----END CERTIFICATE-----\n"


def blocks(bundle: bytes) -> list[bytes]:
    """The certificates of a bundle, one by one, each with the end of its line."""
    return (
        [part + _END for part in bundle.split(_END) if part.strip()] if _END in bundle else [bundle]
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Names:
    """Whom a leaf stands for."""

    common: str
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def authority(cluster: str, now: Moment, life: datetime.timedelta = AUTHORITY_LIFE) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number is in the name: during a change there are two, and a bundle is searched by
    # name.
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(
                NameOID.COMMON_NAME, f"CounterCluster {cluster}"[:47] + f" {serial:040x}"[:17]
            )
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(serial)
        .public_key(key.public_key())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def leaf(signing: Pair, names: Names, now: Moment, life: datetime.timedelta = LEAF_LIFE) -> Pair:
    """Of server and client at once: nodes dial each other. Never longer than its authority's own
    life."""
    ca = x509.load_pem_x509_certificate(signing.certificate)
    ca_key = serialization.load_pem_private_key(signing.key, None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    others: list[x509.GeneralName] = [x509.DNSName(n) for n in names.dns]
    others += [x509.IPAddress(ipaddress.ip_address(a)) for a in names.addresses]
    others += [x509.UniformResourceIdentifier(u) for u in names.uris]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.common[:64])]))
        .issuer_name(ca.subject)
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(min(now + life, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(others), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    return _pair(builder.sign(ca_key, hashes.SHA256()), key)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), pem)


# --- the plan -------------------------------------------------------------------------------------


def renewal(certificate: bytes) -> Moment:
    """Two thirds of its life. Raises ValueError for what is no certificate."""
    found = x509.load_pem_x509_certificate(certificate)
    return (
        found.not_valid_before_utc
        + (found.not_valid_after_utc - found.not_valid_before_utc) * 2 / 3
    )


def why_renew(found: Pair | None, signing: Pair, names: Names, now: Moment) -> str:
    """Why a leaf has to be made again; empty when it is good."""
    if found is None:
        return "there is none"
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate)
        carried = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(signing.certificate))
        key = serialization.load_pem_private_key(found.key, None)
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or key.public_key() != certificate.public_key()
        ):
            return "its key is another's"
    except x509.ExtensionNotFound:
        return "it carries no names"
    except Exception as error:
        # whatever `cryptography` raises for what is no certificate, no key, or signed by another
        return f"it was not made by the signing authority ({type(error).__name__})"
    missing = set(names.dns) - set(carried.get_values_for_type(x509.DNSName))
    missing |= set(names.uris) - set(carried.get_values_for_type(x509.UniformResourceIdentifier))
    missing |= set(names.addresses) - {str(a) for a in carried.get_values_for_type(x509.IPAddress)}
    if missing:
        return f"it lacks {', '.join(sorted(missing))}"
    if now >= renewal(found.certificate):
        return "two thirds of its life are over"
    return ""


def advance(
    found: Authority | None,
    cluster: str,
    now: Moment,
    *,
    rotate: bool = False,
    spread: datetime.timedelta = SPREAD,
    given: bytes = b"",
    arrived: bool = True,
) -> Authority:
    """The authority as it should be now: the same object when nothing is due. `rotate`: a change is
    asked for, and begins unless one is under way. `given`: the authorities of somebody else that
    are wanted instead of one of our own. `arrived`: every node trusts and shows what this phase
    wants; else it goes on."""

    def made() -> Pair:
        return Pair(given, b"") if given else authority(cluster, now)

    def wanted(pair: Pair) -> bool:
        return pair.certificate == given if given else bool(pair.key)

    if found is None:
        return Authority(made(), now)
    lasts = not arrived or now < found.since + spread
    if found.next is not None:
        if wanted(found.next):
            return found if lasts else Authority(found.next, now, old=found.signing.certificate)
        if arrived and wanted(found.signing):  # rule 4
            return Authority(found.signing, now)
        return dataclasses.replace(found, next=made(), since=now) if arrived else found
    if found.old is not None:
        return found if lasts else Authority(found.signing, now)
    if not wanted(found.signing) or (
        not given and (rotate or now >= renewal(found.signing.certificate))
    ):
        fresh = not given  # a key that was never published before
        return dataclasses.replace(found, next=made(), since=now) if arrived or fresh else found
    return found


def node_names(
    cluster: str, namespace: str, ordinals: Sequence[int], services: Sequence[str] = ()
) -> Names:
    """Of the one certificate that all nodes of a cluster share: the pods of a StatefulSet share
    their volumes."""
    pods = [f"{cluster}-{n}" for n in ordinals]
    places = [*(f"{pod}.{cluster}-peers" for pod in pods), cluster, *services]
    forms = [
        form
        for place in places
        for form in (
            place,
            *(f"{place}.{namespace}{end}" for end in ("", ".svc", ".svc.cluster.local")),
        )
    ]
    uris = [f"countercluster://{namespace}/{cluster}/node/{pod}" for pod in pods]
    return Names(f"{cluster} nodes", (*forms, *pods, "localhost"), ("127.0.0.1",), tuple(uris))


def operator_names(cluster: str, namespace: str) -> Names:
    return Names(
        "countercluster-operator",
        (),
        (),
        (f"countercluster://{namespace}/{cluster}/client/operator",),
    )
