"""Judges the Secret of spec.tls.secretName before anything is made from it. Pure, but for a
handshake in memory.

1. What is refused is used nowhere: no pod, no client and not the operator gets to see it. What was
   in force goes on.
2. It must be meant for this CounterCluster: its certificate carries the URIs of the cluster's nodes
   and of the operator, which no certificate for anything else has. So a CounterCluster shows nobody
   a Secret of somebody else.
3. Each fault is reported in words, all of them at once: who mends a certificate wants to do it
   once.
4. At last the certificate shakes hands with itself, as server and as client: that finds what no
   list of checks has.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from countercluster_operator import names
from countercluster_operator.credentials.certificates import Moment, Pair, operator_names
from countercluster_operator.credentials.contexts import shake_hands
from countercluster_operator.model import Cluster

KEYS = ("tls.crt", "tls.key", "ca.crt")
MAX_CERTIFICATES = 64
"""In one file: whoever reads it verifies with each of them."""
USAGES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "server auth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "client auth",
}


class Unfit(Exception):
    """A file makes no sense; the message says which."""


def judge(
    secret: Mapping[str, Any] | None, cluster: Cluster, now: Moment
) -> tuple[dict[str, bytes], list[str]]:
    """The three files in one form (one PEM block after the other), or nothing and what is wrong
    with them."""
    if secret is None:
        return {}, ["is not there"]
    if (secret["metadata"].get("labels") or {}).get(names.LABEL_MANAGED) == names.FIELD_MANAGER:
        return {}, ["is made by the operator itself: name one of your own, or none"]
    try:
        files = {
            key: base64.b64decode(value)
            for key, value in (secret.get("data") or {}).items()
            if key in KEYS
        }
        missing = [key for key in KEYS if not files.get(key)]
        if missing:
            return {}, [f"has no {', '.join(missing)}"]
        chain, authorities = (
            _certificates("tls.crt", files["tls.crt"]),
            _certificates("ca.crt", files["ca.crt"]),
        )
        problems = [
            *_key(files["tls.key"], chain[0]),
            *_dates(chain, now),
            *_usages(chain[0]),
            *_names(chain[0], cluster),
        ]
    except (Unfit, binascii.Error) as error:
        return {}, [str(error)]
    found = {"tls.crt": _pem(chain), "tls.key": files["tls.key"], "ca.crt": _pem(authorities)}
    if not problems:
        try:
            shake_hands(Pair(found["tls.crt"], found["tls.key"]), found["ca.crt"])
        except (ssl.SSLError, OSError, ValueError) as error:
            problems = [
                f"tls.crt does not stand up to ca.crt: "
                f"{getattr(error, 'verify_message', '') or error}"
            ]
    return ({}, problems) if problems else (found, [])


def _certificates(name: str, text: bytes) -> list[x509.Certificate]:
    try:
        found = list(dict.fromkeys(x509.load_pem_x509_certificates(text)))
    except ValueError as error:
        raise Unfit(f"{name} is no certificate in PEM: {str(error).split('. ')[0]}") from None
    if len(found) > MAX_CERTIFICATES:
        raise Unfit(f"{name} has {len(found)} certificates; at most {MAX_CERTIFICATES}")
    return found


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def _key(text: bytes, leaf: x509.Certificate) -> list[str]:
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        key = serialization.load_pem_private_key(text, None)
    except TypeError:
        return ["tls.key is encrypted: nodes have no password for it"]
    except (ValueError, UnsupportedAlgorithm):
        return ["tls.key is no private key in PEM"]
    same = key.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
    return [] if same else ["tls.key is not the key of the first certificate in tls.crt"]


def _dates(chain: list[x509.Certificate], now: Moment) -> list[str]:
    found = []
    for number, certificate in enumerate(chain, 1):
        which = "" if number == 1 else f" (certificate {number})"
        if certificate.not_valid_after_utc <= now:
            found.append(
                f"tls.crt{which} has expired at "
                f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
            )
        elif certificate.not_valid_before_utc > now:
            found.append(
                f"tls.crt{which} is not valid before "
                f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
            )
    return found


def _usages(leaf: x509.Certificate) -> list[str]:
    """An extension that is not there allows everything."""
    missing = []
    try:
        carried = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        missing += [text for usage, text in USAGES.items() if usage not in carried]
    except x509.ExtensionNotFound:
        pass
    except ValueError as error:
        raise Unfit(f"tls.crt has an extension that makes no sense: {error}") from None
    try:
        if not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            missing.append("digital signature")
    except x509.ExtensionNotFound:
        pass
    return [f"tls.crt lacks the usages {', '.join(missing)}"] if missing else []


def _names(leaf: x509.Certificate, cluster: Cluster) -> list[str]:
    try:
        carried = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [
            "tls.crt carries no subject alternative names (docs/operating/security.md has the list)"
        ]
    uris = set(carried.get_values_for_type(x509.UniformResourceIdentifier))
    hosts = {host.lower() for host in carried.get_values_for_type(x509.DNSName)}
    missing = [f"URI {uri}" for uri in wanted_uris(cluster) if uri not in uris]
    missing += [
        f"DNS {host}"
        for host in wanted_hosts(cluster)
        if host not in hosts and f"*.{host.partition('.')[2]}" not in hosts
    ]
    return [f"tls.crt lacks {', '.join(missing)}"] if missing else []


def wanted_uris(cluster: Cluster) -> list[str]:
    """By these nodes know each other and the operator."""
    place = f"countercluster://{cluster.namespace}/{cluster.name}"
    pods = [names.pod(cluster.name, ordinal) for ordinal in range(cluster.spec.replicas)]
    return [
        *(f"{place}/node/{pod}" for pod in pods),
        *operator_names(cluster.name, cluster.namespace).uris,
    ]


def wanted_hosts(cluster: Cluster) -> list[str]:
    """By these clients know the nodes and Redis, and the operator each pod."""
    pods = [
        names.pod_host(cluster.name, cluster.namespace, names.pod(cluster.name, n))
        for n in range(cluster.spec.replicas)
    ]
    cache = (
        [f"{names.cache(cluster.name)}.{cluster.namespace}.svc"]
        if cluster.spec.cache.enabled
        else []
    )
    return [f"{cluster.name}.{cluster.namespace}.svc", *pods, *cache]
