"""Carries out one step of a plan. Every step may be done again: what is done already is no error,
and what cannot be done now comes back with the next pass."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.apply.events import timestamp
from countercluster_operator.apply.failpoints import reach
from countercluster_operator.decide.healing import keeps_volumes
from countercluster_operator.decide.steps import Step
from countercluster_operator.model import Cluster
from countercluster_operator.world.api import Kubernetes
from countercluster_operator.world.observe import admin
from countercluster_operator.world.observed import Claim, Observed
from countercluster_operator.world.refusals import reason
from countercluster_operator.world.replies import Hostile, Refusal

NOBODY = "0" * 16
USED_UP = "was removed and is never reused"
"""A leader's words for an id that cannot join any more."""


class NotNow(Exception):
    """The step could not be done at this moment; the message says why."""


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
        """`context`: for the admin ports; None for plain text. `forbid` is told what the API server
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
        """Raises NotNow. RecordBootstrap is done by writing the status, which the caller does
        anyway."""
        if step.kind == "Bootstrap":
            await self._ask(step.pod, "RAFT.BOOTSTRAP", step.node_id)
        elif step.kind == "AddLearner":
            host = names.pod_host(self._cluster.name, self._cluster.namespace, step.pod)
            await self._add_learner(step, f"{host}:{names.PEER}", f"{host}:{names.RESP}")
        elif step.kind == "Promote":
            await self._ask_leader("RAFT.PROMOTE", step.node_id)
        elif step.kind == "RemoveMember":
            await self._ask_leader("RAFT.REMOVE", step.node_id)
        elif step.kind == "Transfer":
            await self._ask_leader("RAFT.TRANSFER", NOBODY)
        elif step.kind == "Recover":
            await self._ask(step.pod, "RAFT.RECOVER", step.node_id)
        elif step.kind == "DeletePod":
            await self._delete_pod(step.pod)
        elif step.kind == "TouchStatefulSet":
            await self._touch()
        elif step.kind == "RenewStatefulSet":
            await self._api.delete(
                "apps/v1",
                "StatefulSet",
                self._cluster.namespace,
                self._cluster.name,
                self._seen.set_uid,
                orphan=True,
            )
        elif step.kind == "ReplaceDisk":
            await self._replace_disk(step.pod)

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

    async def _add_learner(self, step: Step, peer: str, resp: str) -> None:
        """One who left before it voted, or heard of it, does not know that its id is used up; the
        leader does. Its disk holds nothing to lose."""
        try:
            await self._ask_leader("RAFT.ADDLEARNER", step.node_id, step.pod, peer, resp)
        except NotNow as error:
            pod = next((p for p in self._seen.pods if p.name == step.pod), None)
            if (
                USED_UP not in str(error)
                or pod is None
                or pod.status is None
                or pod.status.role not in ("waiting", "learner")
            ):
                raise
            await self._replace_disk(step.pod)
            raise NotNow(f"{step.pod} holds the id of a removed member; it starts anew") from None

    async def _replace_disk(self, name: str) -> None:
        ordinal = names.ordinal(self._cluster.name, name)
        assert ordinal is not None
        if keeps_volumes(self._cluster):
            await self._keep_volume(ordinal)
        await self.delete_claim(ordinal)
        reach("between-claim-and-pod")
        await self._delete_pod(name)

    async def _delete_pod(self, name: str) -> None:
        """The very one that was seen. A machine that is gone will never say that a pod has ended;
        its member has left before, so that it cannot do harm."""
        pod = next((p for p in self._seen.pods if p.name == name), None)
        if pod is None:
            raise NotNow(f"{name} is not there any more")
        overdue = pod.terminating and pod.loss.seconds > 0
        await self._api.delete("v1", "Pod", self._cluster.namespace, name, pod.uid, at_once=overdue)

    async def delete_claim(self, ordinal: int) -> None:
        """The very one that was seen."""
        claim = self._claim(ordinal)
        if claim is not None:
            name = names.claim(self._cluster.name, ordinal)
            await self._api.delete(
                "v1", "PersistentVolumeClaim", self._cluster.namespace, name, claim.uid
            )

    def _claim(self, ordinal: int) -> Claim | None:
        return next((c for c in self._seen.claims if c.ordinal == ordinal), None)

    async def _keep_volume(self, ordinal: int) -> None:
        """It stays when its claim goes, and says whose it was."""
        claim = self._claim(ordinal)
        if claim is None or not claim.volume:
            return
        name = names.claim(self._cluster.name, ordinal)
        labels = {
            **names.selector(self._cluster.name, names.NODE),
            names.OF_NAMESPACE: self._cluster.namespace,
            names.OF_CLAIM: name,
        }
        why = {names.RELEASED: f"{timestamp()}: its member was replaced; nobody uses this volume"}
        meta = {"name": claim.volume, "labels": labels, "annotations": why}
        manifest = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": meta,
            "spec": {"persistentVolumeReclaimPolicy": "Retain"},
        }
        try:
            await self._api.overwrite(manifest)
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

    async def _ask(self, pod: str, *command: str) -> None:
        ip = self._addresses.get(pod)
        if not ip:
            raise NotNow(f"{pod} has no address yet")
        self._api.may_write()
        try:
            await admin(
                ip,
                names.pod_host(self._cluster.name, self._cluster.namespace, pod),
                self._context,
                *command,
            )
        except (Refusal, Hostile, OSError, TimeoutError) as error:
            raise NotNow(f"{command[0]} at {pod}: {reason(error)}") from None
