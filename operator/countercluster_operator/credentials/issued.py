"""The secrets of one cluster: its authority, the certificates that it signed, and passwords; and
when each of them is made again. Pure: the time is given, chance comes from `secrets`.

All of it is kept in one Secret, `<name>-private`, which nobody but the operator needs. The Secrets
that pods and applications get are made from it (resources/secrets.py), so they can be lost, edited
or made again without changing what is in force.

1. A change goes to `<name>-private` first and only then into the others: what a pod has seen is
   never forgotten.
2. The authority changes in phases (certificates.py). A phase ends when it has lasted `spread` and
   every node that answers has said that it trusts and shows what it should.
3. A new password is given to applications when every node and Redis say that they know it (where
   they cannot say, after `spread`, which is longer than a Secret takes to reach them); the one
   before it is valid for `OVERLAP` after that. The next change begins when the one before it is
   given out.
4. Certificates of somebody else (spec.tls.secretName) take the same way: they are kept here once
   they were judged fit (fitness.py), and are shown only in the phases in which everybody trusts
   their authorities. While the Secret is missing or unfit, what is in force goes on, and is renewed
   if it is our own.
5. Should `<name>-private` be lost, what pods and applications have is carried on: their password,
   and the authority that they trust as one that cannot sign any more; the next phase replaces it.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import secrets
from collections.abc import Mapping

from cryptography import x509

from countercluster_operator import names
from countercluster_operator.credentials.certificates import (
    LEAF_LIFE,
    SPREAD,
    Authority,
    Moment,
    Names,
    Pair,
    advance,
    authority,
    leaf,
    node_names,
    operator_names,
    why_renew,
)
from countercluster_operator.credentials.users import NOBODY, Users, of_file
from countercluster_operator.model import Cluster

OVERLAP = datetime.timedelta(days=1)
PASSWORD_BYTES = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """`spread`: a phase lasts at least so long. `life`: of a certificate."""

    spread: datetime.timedelta = SPREAD
    life: datetime.timedelta = LEAF_LIFE


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """Empty texts and None where spec.tls or spec.auth does not want it."""

    authority: Authority | None = None
    nodes: Pair | None = None
    cache: Pair | None = None
    admin: Pair | None = None
    """With which the operator shows itself to the nodes."""
    password: str = ""
    previous: str = ""
    published: str = ""
    """The one of the two that applications are given."""
    since: Moment | None = None
    """When `password` was made; once it is published, when that was."""
    users: Users = NOBODY
    """More users, as they were judged good last."""
    cache_password: str = ""
    """Of the nodes, in Redis."""
    rotated_authority: str = ""
    rotated_password: str = ""
    """What the spec asked for last and was begun."""


EMPTY = Credentials()
USUAL = Limits()
NOTHING: Mapping[str, bytes] = {}


def wanted_names(cluster: Cluster) -> dict[str, Names]:
    cache = names.cache(cluster.name)
    reach = tuple(
        f"{cache}{end}" for end in ("", f".{cluster.namespace}", f".{cluster.namespace}.svc")
    )
    return {
        "nodes": node_names(
            cluster.name, cluster.namespace, range(7), (names.peers_service(cluster.name),)
        ),
        "cache": Names(cache, (*reach, "localhost"), ("127.0.0.1",)),
        "admin": operator_names(cluster.name, cluster.namespace),
    }


def renewed(
    found: Credentials,
    cluster: Cluster,
    now: Moment,
    *,
    spread_out: bool,
    limits: Limits = USUAL,
    given: Mapping[str, bytes] = NOTHING,
    known: bool | None = None,
) -> Credentials:
    """As it should be now; the same object when nothing is due. `spread_out`: every node that
    answers shows and trusts what it should. `given`: the files of spec.tls.secretName; empty while
    they are missing or unfit. `known`: whether every node and Redis know the users; None: they
    cannot tell, and the time has to do."""
    changed = _certificates(found, cluster, now, spread_out, limits, given)
    changed = _passwords(changed, cluster, now, limits.spread, known)
    return found if changed == found else changed


def _certificates(
    found: Credentials,
    cluster: Cluster,
    now: Moment,
    spread_out: bool,
    limits: Limits,
    given: Mapping[str, bytes],
) -> Credentials:
    if not cluster.spec.tls.enabled:
        return dataclasses.replace(found, authority=None, nodes=None, cache=None, admin=None)
    foreign = bool(cluster.spec.tls.secret_name)
    if foreign and not given:
        return _held(found, cluster, now, spread_out, limits)
    asked = "" if foreign else cluster.spec.tls.rotate_authority
    before = found.authority
    current = advance(
        before,
        _who(cluster),
        now,
        rotate=asked not in ("", found.rotated_authority),
        spread=limits.spread,
        given=given["ca.crt"] if foreign else b"",
        arrived=spread_out,
    )
    begun = not foreign and (before is None or (current is not before and current.next is not None))
    rotated = asked if begun else found.rotated_authority
    return _leaves(
        dataclasses.replace(found, authority=current, rotated_authority=rotated),
        cluster,
        now,
        limits,
        given,
    )


def _who(cluster: Cluster) -> str:
    return f"{cluster.namespace}/{cluster.name}"


def _held(
    found: Credentials, cluster: Cluster, now: Moment, spread_out: bool, limits: Limits
) -> Credentials:
    """Rule 4: the Secret cannot be used. What is only published stays so; a change that was begun
    before is ended."""
    before = found.authority
    if before is None:
        return found
    if before.next is None:
        same = b"" if before.signing.key else before.signing.certificate
        current = advance(
            before, _who(cluster), now, spread=limits.spread, given=same, arrived=spread_out
        )
    else:
        current = before
    return _leaves(dataclasses.replace(found, authority=current), cluster, now, limits, NOTHING)


def _leaves(
    found: Credentials, cluster: Cluster, now: Moment, limits: Limits, given: Mapping[str, bytes]
) -> Credentials:
    """Certificates of who signs now. Of somebody else's authorities there is one for all."""
    current = found.authority
    assert current is not None
    if given and current.signing.certificate == given["ca.crt"]:
        pair = pair_of(given)
        return dataclasses.replace(found, nodes=pair, cache=pair, admin=pair)
    wanted = wanted_names(cluster)

    def good(pair: Pair | None, what: str) -> Pair | None:
        due = current.signing.key and why_renew(pair, current.signing, wanted[what], now)
        return leaf(current.signing, wanted[what], now, limits.life) if due else pair

    return dataclasses.replace(
        found,
        nodes=good(found.nodes, "nodes"),
        cache=good(found.cache, "cache"),
        admin=good(found.admin, "admin"),
    )


def _passwords(
    found: Credentials,
    cluster: Cluster,
    now: Moment,
    spread: datetime.timedelta,
    known: bool | None,
) -> Credentials:
    if not cluster.spec.auth.enabled:
        return dataclasses.replace(
            found, password="", previous="", published="", since=None, cache_password=""
        )
    asked = cluster.spec.auth.rotate_password
    if not found.cache_password:
        found = dataclasses.replace(found, cache_password=_password())
    if not found.password:
        fresh = _password()
        return dataclasses.replace(
            found, password=fresh, published=fresh, since=now, rotated_password=asked
        )
    age = now - found.since if found.since is not None else OVERLAP
    if found.published != found.password:
        due = age >= spread if known is None else known
        return dataclasses.replace(found, published=found.password, since=now) if due else found
    if asked not in ("", found.rotated_password):
        return dataclasses.replace(
            found, password=_password(), previous=found.password, since=now, rotated_password=asked
        )
    return dataclasses.replace(found, previous="") if found.previous and age >= OVERLAP else found


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def adopted(left: Mapping[str, Mapping[str, bytes]], cluster: Cluster, now: Moment) -> Credentials:
    """After `<name>-private` was lost: what pods and applications have, from the data of `nodes`,
    `cache`, `client` and `users`. Of the authority only the certificate is left; another one
    follows it. Of a new CounterCluster there is nothing."""
    found = Credentials()
    if cluster.spec.auth.enabled and (password := left["client"].get("password", b"").decode()):
        of_nodes = left["users"].get("cache-password", b"").decode()
        users = of_file(left["users"].get("users.acl", b"").decode(errors="replace"), cluster)
        found = dataclasses.replace(
            found,
            password=password,
            published=password,
            since=now,
            cache_password=of_nodes,
            users=users,
        )
    trusted = left["nodes"].get("ca.crt")
    if not cluster.spec.tls.enabled or not trusted:
        return found
    pair = pair_of(left["nodes"])
    found = dataclasses.replace(found, nodes=pair, cache=pair_of(left["cache"]))
    if cluster.spec.tls.secret_name:
        return dataclasses.replace(found, authority=Authority(Pair(trusted, b""), now), admin=pair)
    following = authority(_who(cluster), now)
    admin = leaf(following, wanted_names(cluster)["admin"], now)
    return dataclasses.replace(
        found, authority=Authority(Pair(trusted, b""), now, next=following), admin=admin
    )


def pair_of(files: Mapping[str, bytes]) -> Pair | None:
    """Of a Secret of type kubernetes.io/tls."""
    return (
        Pair(files["tls.crt"], files["tls.key"])
        if files.get("tls.crt") and files.get("tls.key")
        else None
    )


def trust_of(bundle: bytes) -> str:
    """What a node tells of the authorities it trusts (node_image, security/tls.py)."""
    return hashlib.sha256(bundle).hexdigest()[:16]


def serial_of(pair: Pair) -> str:
    return f"{x509.load_pem_x509_certificate(pair.certificate).serial_number:x}"


# --- as the data of a Secret ----------------------------------------------------------------------

_TEXTS = {
    "password": "password",
    "previous": "previous",
    "published": "told",
    "cache_password": "cache-password",
    "rotated_authority": "rotated-authority",
    "rotated_password": "rotated-password",
}
"""Fields, and their keys: `told` is a key of Secrets that are there, and stays."""
_PAIRS = ("nodes", "cache", "admin")


def dump(issued: Credentials) -> dict[str, bytes]:
    found: dict[str, bytes] = {
        key: getattr(issued, field).encode() for field, key in _TEXTS.items()
    }
    found |= {
        "users-of-spec": issued.users.spec.encode(),
        "users-of-file": issued.users.file.encode(),
    }
    if issued.since is not None:
        found["password-since"] = issued.since.isoformat().encode()
    for name in _PAIRS:
        _put(found, name, getattr(issued, name))
    if issued.authority is not None:
        _put(found, "authority", issued.authority.signing)
        _put(found, "next-authority", issued.authority.next)
        found["authority-since"] = issued.authority.since.isoformat().encode()
        if issued.authority.old is not None:
            found["old-authority.crt"] = issued.authority.old
    return {key: value for key, value in sorted(found.items()) if value}


def load(data: Mapping[str, bytes]) -> Credentials:
    """Raises ValueError for what `dump` did not make."""
    signing = _pair(data, "authority")
    current = None
    if signing is not None:
        since = datetime.datetime.fromisoformat(data.get("authority-since", b"").decode())
        current = Authority(
            signing, since, _pair(data, "next-authority"), data.get("old-authority.crt")
        )
    since_text = data.get("password-since", b"").decode()
    return Credentials(
        authority=current,
        nodes=_pair(data, "nodes"),
        cache=_pair(data, "cache"),
        admin=_pair(data, "admin"),
        password=data.get("password", b"").decode(),
        previous=data.get("previous", b"").decode(),
        published=(data.get("told") or data.get("password", b"")).decode(),
        since=datetime.datetime.fromisoformat(since_text) if since_text else None,
        users=Users(
            data.get("users-of-spec", b"").decode(), data.get("users-of-file", b"").decode()
        ),
        cache_password=data.get("cache-password", b"").decode(),
        rotated_authority=data.get("rotated-authority", b"").decode(),
        rotated_password=data.get("rotated-password", b"").decode(),
    )


def _put(data: dict[str, bytes], name: str, pair: Pair | None) -> None:
    if pair is not None:
        data[f"{name}.crt"], data[f"{name}.key"] = pair.certificate, pair.key


def _pair(data: Mapping[str, bytes], name: str) -> Pair | None:
    certificate = data.get(f"{name}.crt")
    return Pair(certificate, data.get(f"{name}.key", b"")) if certificate else None
