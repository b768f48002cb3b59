"""Keeps what is secret about each cluster: reads it once, renews it when due, writes it before
anything is made from it, and shows the operator to the nodes with it."""

from __future__ import annotations

import dataclasses
import datetime
import ssl
from collections.abc import Callable

from countercluster_operator import names
from countercluster_operator.credentials.certificates import Pair
from countercluster_operator.credentials.contexts import context_of
from countercluster_operator.credentials.fitness import judge
from countercluster_operator.credentials.issued import (
    EMPTY,
    USUAL,
    Credentials,
    Limits,
    adopted,
    load,
    pair_of,
    renewed,
    serial_of,
    trust_of,
)
from countercluster_operator.credentials.secured import (
    Given,
    Secured,
    decoded,
    private,
    secrets_digest,
    users_digest,
)
from countercluster_operator.credentials.users import Users, judged, of_file
from countercluster_operator.manifest import Manifest
from countercluster_operator.model import Cluster, Problem
from countercluster_operator.world.api import UNREACHABLE, Kubernetes
from countercluster_operator.world.going import ensure_there, raise_if_going
from countercluster_operator.world.observed import Observed
from countercluster_operator.world.refusals import reason


class Refused(Exception):
    """A Secret that is needed is not there, makes no sense, or belongs to somebody else; the
    message says which."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class CredentialStore:
    def __init__(
        self, api: Kubernetes, limits: Limits = USUAL, now: Callable[[], datetime.datetime] = _now
    ) -> None:
        self._api, self._limits, self._now = api, limits, now
        self._known: dict[str, Secured] = {}  # by UID
        self._contexts: dict[str, tuple[tuple[Pair | None, bytes], ssl.SSLContext]] = {}

    def forget(self, namespace: str, name: str) -> None:
        for uid in [u for u in self._known if u.startswith(f"{namespace}/{name}/")]:
            del self._known[uid]
            self._contexts.pop(uid, None)

    async def look(self, cluster: Cluster) -> tuple[Secured, list[Problem]]:
        """What is in force, and what of the spec cannot be done, in words. Nothing is written."""
        key = _key(cluster)
        problems: list[Problem] = []
        if key not in self._known:
            self._known[key] = Secured(await self._read(cluster))
        issued = self._known[key].issued
        certificates = await self._certificates(cluster, problems)
        given = Given(certificates, await self._users(cluster, issued.users, problems))
        self._known[key] = Secured(issued, given)
        return self._known[key], problems

    async def renew(self, cluster: Cluster, seen: Observed, problems: list[Problem]) -> Secured:
        """What is due is made again, and kept before anybody gets to see it; what cannot be kept is
        not used."""
        secured = self._known[_key(cluster)]
        issued = renewed(
            secured.issued,
            cluster,
            self._now(),
            spread_out=spread_out(secured, seen),
            limits=self._limits,
            given=secured.given.certificates,
            known=users_known(cluster, secured, seen),
        )
        if issued.users != secured.given.users:
            issued = dataclasses.replace(issued, users=secured.given.users)
        if issued is not secured.issued:
            try:
                await ensure_there(self._api, cluster)
                await self._api.apply(private(cluster, issued))
            except UNREACHABLE as error:
                raise_if_going(error)
                text = f"the API server refuses Secret {cluster.name}-private: {reason(error)}"
                if secured.issued == EMPTY:
                    raise Refused(text) from None  # nothing is made from what is not kept
                problems.append(Problem("ChildRefused", text))
                return secured
            secured = self._known[_key(cluster)] = Secured(issued, secured.given)
        return secured

    async def _read(self, cluster: Cluster) -> Credentials:
        found = await self._secret(cluster, f"{cluster.name}-private")
        if found is not None:
            try:
                return await self._with_users(cluster, decoded(_own(found, cluster)))
            except ValueError as error:
                raise Refused(
                    f"Secret {cluster.name}-private is damaged: {error}; delete it, and all that "
                    f"it holds is made again"
                ) from None
        left = {
            part: await self._left(cluster, part) for part in ("nodes", "cache", "client", "users")
        }
        return adopted(left, cluster, self._now())

    async def _with_users(self, cluster: Cluster, data: dict[str, bytes]) -> Credentials:
        """Version 0.1.0 kept users in the nodes' file alone: who is in force there stays so while
        its password's Secret is missing. Raises ValueError."""
        issued = load(data)
        if "users-of-spec" in data or not cluster.spec.auth.enabled:
            return issued
        left = await self._left(cluster, "users")
        return dataclasses.replace(
            issued, users=of_file(left.get("users.acl", b"").decode(errors="replace"), cluster)
        )

    async def _left(self, cluster: Cluster, part: str) -> dict[str, bytes]:
        """What a Secret has that was made from one which is gone; nothing when it is not there, or
        somebody else's."""
        found = await self._secret(cluster, f"{cluster.name}-{part}")
        return decoded(found) if found is not None and _is_own(found, cluster) else {}

    async def _secret(self, cluster: Cluster, name: str) -> Manifest | None:
        return await self._api.get("v1", "Secret", cluster.namespace, name)

    async def _certificates(self, cluster: Cluster, problems: list[Problem]) -> dict[str, bytes]:
        name = cluster.spec.tls.secret_name
        if not cluster.spec.tls.enabled or not name:
            return {}
        found = await self._secret(cluster, name)
        files, faults = judge(found, cluster, self._now())
        if faults:
            colon = "" if faults[0].startswith(("is ", "has ")) else ":"
            problems.append(
                Problem(
                    "CertificateRefused",
                    f"spec.tls.secretName: Secret {name}{colon} {'; '.join(faults)}",
                )
            )
        return files

    async def _users(self, cluster: Cluster, last: Users, problems: list[Problem]) -> Users:
        auth, passwords, file = cluster.spec.auth, {}, None
        for user in auth.users if auth.enabled else ():
            found = await self._secret(cluster, user.password_secret.name)
            password = decoded(found).get(user.password_secret.key) if found is not None else None
            if password:
                passwords[user.name] = password
            else:
                why = f"has no {user.password_secret.key}" if found is not None else "is not there"
                text = f"spec.auth.users: {user.name}: Secret {user.password_secret.name} {why}"
                problems.append(Problem("UsersRefused", text))
        if auth.enabled and auth.acl_secret_name:
            found = await self._secret(cluster, auth.acl_secret_name)
            file = decoded(found).get("users.acl") if found is not None else None
            if file is None:
                why = "has no users.acl" if found is not None else "is not there"
                problems.append(
                    Problem(
                        "UsersRefused",
                        f"spec.auth.aclSecretName: Secret {auth.acl_secret_name} {why}",
                    )
                )
        users, refused = judged(cluster, passwords, file, last)
        problems.extend(Problem("UsersRefused", text) for text in refused)
        return users

    def blind(self, cluster: Cluster, problems: list[Problem]) -> str:
        """Why no node would answer: the Secret of spec.tls.secretName is unfit, and was so when
        this operator first saw it (after an upgrade from 0.1.0, which kept no copy). Empty when the
        operator can show itself."""
        secured = self._known[_key(cluster)]
        known = secured.issued.admin is not None or bool(secured.given.certificates)
        unfit = next((p.text for p in problems if p.reason == "CertificateRefused"), "")
        if known or not unfit:
            return ""
        return (
            f"{unfit}; the operator has no other certificate to show to the members, so it "
            f"does not reach them; they go on"
        )

    def context(self, cluster: Cluster) -> ssl.SSLContext | None:
        """How the operator shows itself to nodes and knows them; None for plain text. Raises
        Refused."""
        if not cluster.spec.tls.enabled:
            return None
        secured = self._known[_key(cluster)]
        given = secured.given.certificates  # of a cluster of version 0.1.0, which kept no copy
        pair, bundle = (
            secured.issued.admin or pair_of(given),
            secured.bundle or given.get("ca.crt", b""),
        )
        wanted = (pair, bundle)
        kept = self._contexts.get(_key(cluster))
        if kept is None or kept[0] != wanted:
            if pair is None or not bundle:
                return (
                    ssl.create_default_context()
                )  # nothing to show: no node of this cluster runs, or see `blind`
            try:
                kept = self._contexts[_key(cluster)] = (wanted, context_of(pair, bundle))
            except (ssl.SSLError, OSError, ValueError) as error:
                raise Refused(
                    f"Secret {cluster.name}-private: its certificates cannot be used: {error}"
                ) from None
        return kept[1]


def spread_out(secured: Secured, seen: Observed) -> bool:
    """Every node that answers trusts and shows what it should, and most of those that run do
    answer: who hears nobody knows nothing."""
    pair, bundle = secured.issued.nodes, secured.bundle
    if pair is None or not bundle:
        return True
    wanted = (trust_of(bundle), serial_of(pair))
    running = [pod for pod in seen.pods if pod.running]
    answering = [pod.status for pod in seen.pods if pod.status is not None]
    return 2 * len(answering) >= len(running) and all(
        (status.trust, status.serial) == wanted for status in answering
    )


def users_known(cluster: Cluster, secured: Secured, seen: Observed) -> bool | None:
    """Whether every node and Redis have the users of this moment; None when that is not known. A
    pod that does not run reads the newest when it starts."""
    pods = [pod.status for pod in seen.pods if pod.running or pod.status is not None]
    if not pods or any(status is not None and not status.users_digest for status in pods):
        return None
    if any(
        status is None or status.users_digest != users_digest(cluster, secured) for status in pods
    ):
        return False
    late = cluster.spec.cache.enabled and seen.cache_secrets != secrets_digest(cluster, secured)
    return (
        None if late else True
    )  # counting does not depend on Redis: it is not waited for without end


def not_used(seen: Observed) -> list[Problem]:
    """Nodes that tell that their users are not those of their file."""
    said = [
        (pod.name, pod.status.users_error)
        for pod in seen.pods
        if pod.status is not None and pod.status.users_error
    ]
    return [
        Problem("UsersRefused", f"{name} does not use its newest users: {error}")
        for name, error in said[:1]
    ]


def _key(cluster: Cluster) -> str:
    return f"{cluster.namespace}/{cluster.name}/{cluster.uid}"


def _is_own(secret: Manifest, cluster: Cluster) -> bool:
    """Also one that has our labels and no owner: its CounterCluster was deleted with
    --cascade=orphan, and is back."""
    meta = secret["metadata"]
    owners = meta.get("ownerReferences") or []
    ours = names.labels(cluster.name, "").items() - {(names.LABEL_COMPONENT, "")}
    return any(owner["uid"] == cluster.uid for owner in owners) or (
        not owners and ours <= (meta.get("labels") or {}).items()
    )


def _own(secret: Manifest, cluster: Cluster) -> Manifest:
    """Raises Refused for a Secret of somebody else: also one of a CounterCluster of the same name
    that is just being collected."""
    if _is_own(secret, cluster):
        return secret
    name = secret["metadata"]["name"]
    raise Refused(
        f"Secret {name} was there already and is not this CounterCluster's: it is left alone; "
        f"delete or rename it, or the CounterCluster"
    )
