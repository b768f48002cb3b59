"""Carries out one step of a plan. Every step may be done again: what is done already is no error,
and what cannot be done now comes back with the next pass."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import assert_never

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.apply.events import timestamp
from countercluster_operator.apply.failpoints import reach
from countercluster_operator.decide.steps import (
    AddLearner,
    Bootstrap,
    DeletePod,
    Promote,
    RecordBootstrap,
    Recover,
    RemoveMember,
    RenewStatefulSet,
    ReplaceDisk,
    Step,
    TouchStatefulSet,
    Transfer,
)
from countercluster_operator.model import Cluster
from countercluster_operator.world.api import Kubernetes
from countercluster_operator.world.machines import is_of
from countercluster_operator.world.observe import admin
from countercluster_operator.world.observed import Claim, Observed
from countercluster_operator.world.refusals import reason
from countercluster_operator.world.replies import REMOVED, Hostile, Refusal, document
from countercluster_operator.world.statuses import led

NOBODY = "0" * 16


class NotNow(Exception):
    """The step could not be done at this moment; the message says why. `code`: of the node's
    error, where it was one."""

    def __init__(self, why: str, code: str = "") -> None:
        super().__init__(why)
        self.code = code


class Act:
    def __init__(
        self,
        api: Kubernetes,
        cluster: Cluster,
        seen: Observed,
        addresses: dict[str, str],
        context: ssl.SSLContext | None = None,
        forbid: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`context`: for the admin ports; None for plain text. `forbid` gets what the API server
        does not allow."""
        self._forbid = forbid
        self._api, self._cluster, self._seen, self._addresses, self._context = (
            api,
            cluster,
            seen,
            addresses,
            context,
        )

    async def do(self, step: Step) -> None:
        """Raises NotNow."""
        await self._ensure_term(step)
        match step:
            case RecordBootstrap():
                pass  # by writing the status, which the caller does anyway
            case Bootstrap():
                await self._ask(step.pod, "RAFT.BOOTSTRAP", step.node_id)
            case AddLearner():
                await self._add_learner(step)
            case Promote():
                await self._ask_leader("RAFT.PROMOTE", step.node_id)
            case RemoveMember():
                await self._ask_leader("RAFT.REMOVE", step.node_id)
            case Transfer():
                await self._ask_leader("RAFT.TRANSFER", NOBODY)
            case Recover():
                await self._ask(step.pod, "RAFT.RECOVER", step.node_id)
            case DeletePod():
                await self._delete_pod(step)
            case ReplaceDisk():
                await self._replace_disk(step)
            case TouchStatefulSet():
                await self._touch()
            case RenewStatefulSet():
                await self._renew(step)
            case _:
                assert_never(step)

    async def _ensure_term(self, step: Step) -> None:
        """The leader by whose word it was decided still leads, in the same term."""
        leader = self._seen.leader
        if not step.term or leader is None:
            return
        answer = await self._ask(leader.name, "RAFT.STATUS")
        try:
            role, term = led(document(answer if isinstance(answer, bytes) else b""))
        except Hostile as error:
            raise NotNow(f"RAFT.STATUS at {leader.name}: {error}") from None
        if (role, term) != ("leader", step.term):
            raise NotNow(
                f"it was decided while {leader.name} led in term {step.term}, which is {role} in "
                f"term {term} now: it is decided again"
            )

    async def _touch(self) -> None:
        meta = {
            "name": self._cluster.name,
            "namespace": self._cluster.namespace,
            "annotations": {names.TOUCHED: timestamp()},
        }
        try:
            await self._api.overwrite(
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta}
            )
        except ApiException as error:
            if error.status != 404:
                raise
            raise NotNow("the StatefulSet was deleted meanwhile") from None

    async def _renew(self, step: RenewStatefulSet) -> None:
        where = self._cluster.namespace, self._cluster.name
        await self._api.delete("apps/v1", "StatefulSet", *where, step.uid, orphan=True)

    async def _add_learner(self, step: AddLearner) -> None:
        host = names.pod_host(self._cluster.name, self._cluster.namespace, step.pod)
        addresses = f"{host}:{names.PEER}", f"{host}:{names.RESP}"
        try:
            await self._ask_leader("RAFT.ADDLEARNER", step.node_id, step.pod, *addresses)
        except NotNow as error:
            if error.code != REMOVED or step.otherwise is None:
                raise
            await self._replace_disk(step.otherwise)
            raise NotNow(step.otherwise.reason) from None

    async def _replace_disk(self, step: ReplaceDisk) -> None:
        if step.claim is not None:
            if step.keeps:
                await self._keep_volume(step.claim)
            await self.delete_claim(step.claim)
        reach("between-claim-and-pod")
        await self._delete_pod(step.then)

    async def _delete_pod(self, step: DeletePod) -> None:
        """The very one that was seen."""
        namespace = self._cluster.namespace
        await self._api.delete("v1", "Pod", namespace, step.pod, step.uid, at_once=step.at_once)

    async def delete_claim(self, claim: Claim) -> None:
        """The very one that was seen."""
        name = names.claim(self._cluster.name, claim.ordinal)
        await self._api.delete(
            "v1", "PersistentVolumeClaim", self._cluster.namespace, name, claim.uid
        )

    async def _keep_volume(self, claim: Claim) -> None:
        """It stays when its claim goes, and says whose it was. Anybody can make a claim that names
        a volume of somebody else: only one that is bound to this very claim is changed."""
        if not claim.volume:
            return
        name = names.claim(self._cluster.name, claim.ordinal)
        labels = {
            **names.selector(self._cluster.name, names.NODE),
            names.OF_NAMESPACE: self._cluster.namespace,
            names.OF_CLAIM: name,
        }
        why = {names.RELEASED: f"{timestamp()}: its member was replaced; nobody uses this volume"}
        try:
            live = await self._api.get("v1", "PersistentVolume", None, claim.volume)
            if live is None or not is_of(live, claim.uid):
                return
            read = live["metadata"]["resourceVersion"]
            meta = {
                "name": claim.volume,
                "labels": labels,
                "annotations": why,
                "resourceVersion": read,
            }
            await self._api.overwrite(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": meta,
                    "spec": {"persistentVolumeReclaimPolicy": "Retain"},
                }
            )
        except ApiException as error:
            if error.status == 403:
                self._forbid("keep")
            if error.status != 404:
                raise NotNow(
                    f"PersistentVolume {claim.volume} cannot be kept: {error.reason}; nothing is "
                    f"deleted"
                ) from None

    async def _ask_leader(self, *command: str) -> None:
        leader = self._seen.leader
        if leader is None:
            raise NotNow("no leader")
        await self._ask(leader.name, *command)

    async def _ask(self, pod: str, *command: str) -> bytes | int | None:
        ip = self._addresses.get(pod)
        if not ip:
            raise NotNow(f"{pod} has no address yet")
        self._api.may_write()
        try:
            return await admin(
                ip,
                names.pod_host(self._cluster.name, self._cluster.namespace, pod),
                self._context,
                *command,
            )
        except (Refusal, Hostile, OSError, TimeoutError) as error:
            code = error.code if isinstance(error, Refusal) else ""
            raise NotNow(f"{command[0]} at {pod}: {reason(error)}", code) from None
