"""One pass over one CounterCluster: observe → plan → act → report. Level-triggered: it looks at the
world and never at what has changed.

A CounterCluster or a namespace that goes away in the middle of a pass ends the pass, and nothing
has failed: no warning, no event, no pause before the next look. A status belongs to the very object
that was observed; one of the same name that took its place meanwhile begins without it."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import secrets
import ssl
from collections.abc import Collection
from functools import partial
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.apply.act import Act
from countercluster_operator.apply.children import Children, Kept
from countercluster_operator.apply.events import Recorder, timestamp
from countercluster_operator.apply.failpoints import reach
from countercluster_operator.apply.memory import Memory, older_wrote, recalled
from countercluster_operator.apply.status import Status
from countercluster_operator.credentials.issued import Limits
from countercluster_operator.credentials.secured import Secured
from countercluster_operator.credentials.store import CredentialStore, Refused, not_used
from countercluster_operator.decide import report, restrictions
from countercluster_operator.decide.decision import Decision, claims_to_delete, decided
from countercluster_operator.decide.plan import plan
from countercluster_operator.decide.steps import Once, Plan, Recover
from countercluster_operator.model import Cluster, InvalidSpec, Problem, decode, not_said
from countercluster_operator.resources import claims
from countercluster_operator.run.attempts import REFUSED_S, Attempts
from countercluster_operator.run.budget import Budget
from countercluster_operator.run.patience import SOON_S, Patience
from countercluster_operator.run.settings import Settings
from countercluster_operator.run.throttle import Throttle
from countercluster_operator.run.turns import Key, Turns
from countercluster_operator.world import clocks
from countercluster_operator.world.api import UNREACHABLE, Kubernetes, is_terminating
from countercluster_operator.world.clocks import Witness
from countercluster_operator.world.going import Changed, raise_if_going
from countercluster_operator.world.handed_out import Heights
from countercluster_operator.world.landscape import Landscape
from countercluster_operator.world.observe import admin, observe
from countercluster_operator.world.observed import Observed
from countercluster_operator.world.refusals import reason
from countercluster_operator.world.trouble import Inquiry, troubles

log = logging.getLogger("countercluster_operator")

AT_REST_S = 60.0
AT_ONCE_S = 0.2


class Gone(Exception):
    """The CounterCluster of this pass is not there any more."""


class Reconciler:
    def __init__(self, api: Kubernetes, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._children = Children(api)
        self._events = Recorder(api, settings.identity)
        self._inquiry = Inquiry(api)
        self._witness = Witness(api, admin)
        self._landscape = Landscape(api)
        self._turns = Turns(
            Throttle(settings.max_rolls),
            Budget(settings.healing_per_domain, settings.healing_in_all),
            lambda domain: self._landscape.silent(domain),
        )
        self._heights = Heights()
        self._patience = Patience()
        self._memory = Memory(api)
        self._attempts = Attempts(self._events)
        self._status = Status(api)
        self._rest_s = min(
            AT_REST_S, settings.spread_s
        )  # what has to be waited out is not slept through
        self._credentials = CredentialStore(
            api,
            Limits(
                datetime.timedelta(seconds=settings.spread_s),
                datetime.timedelta(hours=settings.certificate_hours),
            ),
        )

    def watched(self, kind: str, live: dict[str, Any], *, gone: bool) -> None:
        """The watch shows this child."""
        self._children.watched(kind, live, gone=gone)

    async def reconcile(self, key: Key) -> float | None:
        """Seconds until the next look; None when the cluster is gone."""
        namespace, name = key
        body = await self._api.get(names.API_VERSION, names.KIND, namespace, name)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._forget(key)
            return None
        try:
            return await self._look(body)
        except (ApiException, Gone, Changed) as error:
            another = await self._status.is_another(body)
            if not another and isinstance(error, Changed):
                return AT_ONCE_S
            if not another and not (isinstance(error, ApiException) and is_terminating(error)):
                raise
            log.info(
                "pass ended: the CounterCluster or its namespace is being deleted",
                extra={"cluster": f"{namespace}/{name}"},
            )
            return AT_ONCE_S if another else AT_REST_S  # the watch tells when it goes

    def _forget(self, key: Key) -> None:
        self._children.forget(*key)
        self._credentials.forget(*key)
        self._inquiry.forget(*key)
        self._turns.forget(key)
        self._heights.forget(key)
        self._patience.forget(key)
        self._attempts.forget(key)
        self._memory.forget(*key)

    async def _look(self, body: dict[str, Any]) -> float:
        kept = await self._memory.look(body)
        old = recalled(body.get("status") or {}, None if older_wrote(body) else kept)
        try:
            found = {**body, "status": old}
            cluster = decode(
                found,
                self._settings.node_image,
                self._settings.redis_image,
                self._settings.own_namespace,
                self._settings.pull_secrets,
            )
        except InvalidSpec as error:
            await self._status.write(
                body, report.invalid(old, body["metadata"]["generation"], str(error), _now())
            )
            return AT_REST_S
        try:
            return await self._pass(cluster, body, old, secrets.token_hex(4))
        except Refused as error:
            await self._events.tell(cluster, "ChildRefused", "Apply", str(error), warning=True)
            await self._status.write(
                body, report.invalid(old, cluster.generation, str(error), _now(), "ChildRefused")
            )
            return REFUSED_S

    async def _pass(
        self, cluster: Cluster, body: dict[str, Any], old: dict[str, Any], run: str
    ) -> float:
        secured, problems = await self._credentials.look(cluster)
        if not_said(cluster.spec):
            problems.append(Problem("OpenPorts", not_said(cluster.spec)))
        context = self._credentials.context(cluster)
        seen, addresses = await self._see(cluster, old, context, problems)
        refused = restrictions.outside(cluster, self._settings.restrictions)
        problems += [Problem("NotAllowed", one.text) for one in refused]
        withheld = frozenset(kind for one in refused for kind in one.kinds)
        cluster = restrictions.as_it_runs(cluster, seen, old, withheld)
        planned = plan(cluster, seen)
        turn = self._turns.turn(cluster, seen, planned)
        if not cluster.spec.paused:
            secured = await self._credentials.renew(cluster, seen, problems)
        await self._events.warn(cluster, troubles(seen), run)
        problems += not_used(seen)
        await self._events.warn(cluster, problems, run)
        kept = await self._keep(cluster, seen, planned, secured, withheld, run)
        if kept.moved and await self._status.is_another(body):
            raise Gone
        if kept.written:  # whoever deleted these may have deleted the memory as well
            self._memory.doubt(cluster.namespace, cluster.name)
        problems += self._attempts.unable(cluster)
        problems += [Problem("ChildRefused", text) for text in kept.refused]
        todo = decided(
            planned, seen, turn, withheld=withheld, written=kept.written, foreign=kept.foreign,
            held=kept.held, problems=problems,
        )  # fmt: skip
        # The status before the act: what must be remembered (target, who bootstraps) is remembered
        # before it is acted upon.
        status = report.status(cluster, seen, todo, old, _now(), secured)
        remembered = await self._remember(cluster, body, status, run)
        await self._announce(cluster, seen, todo, old, run)
        reach("after-status")
        if cluster.spec.paused or kept.written:
            return AT_REST_S if cluster.spec.paused else AT_ONCE_S
        act = Act(self._api, cluster, seen, addresses, context, self._landscape.forbid)
        again_s = await self._act(cluster, todo, act, run, remembered=remembered)
        return min(again_s, SOON_S) if kept.moved or report.undecided(seen, todo) else again_s

    async def _see(
        self,
        cluster: Cluster,
        old: dict[str, Any],
        context: ssl.SSLContext | None,
        problems: list[Problem],
    ) -> tuple[Observed, dict[str, str]]:
        """What there is, and the address of each pod. The nodes hear the time as well."""
        seen, addresses = await observe(self._api, cluster, old, context, self._landscape)
        seen = self._heights.noted((cluster.namespace, cluster.name), seen)
        await self._witness.tell(
            cluster,
            {
                p.name: addresses[p.name]
                for p in seen.pods
                if p.status is not None and p.name in addresses
            },
            context,
        )
        seen = await self._inquiry.explain(cluster, seen)
        if any(pod.running for pod in seen.pods):
            seen = dataclasses.replace(seen, blind=self._credentials.blind(cluster, problems))
        return seen, addresses

    async def _announce(
        self, cluster: Cluster, seen: Observed, todo: Decision, old: dict[str, Any], run: str
    ) -> None:
        if jumped := clocks.news(seen.log_time, old):
            await self._events.tell(cluster, "LogTimeJumped", "Observe", jumped)
        if todo.warning is not None and await self._events.tell(
            cluster, todo.warning[0], "Observe", todo.warning[1], warning=True
        ):
            where = {"cluster": f"{cluster.namespace}/{cluster.name}", "run": run}
            log.warning("%s", todo.warning[1], extra=where)

    async def _keep(
        self,
        cluster: Cluster,
        seen: Observed,
        planned: Plan,
        secured: Secured,
        withheld: Collection[str],
        run: str,
    ) -> Kept:
        """Sees to the children, and tells what could not be done."""
        if cluster.spec.paused:
            return Kept([], [])
        volumes = claims.to_write(cluster, seen, claims_to_delete(planned, withheld))
        kept = await self._children.keep(
            cluster,
            planned.replicas,
            planned.voters,
            seen.template_size,
            volumes,
            secured,
            withheld,
        )
        where = {"cluster": f"{cluster.namespace}/{cluster.name}", "run": run}
        if kept.written:
            log.info("applied", extra={**where, "children": kept.written})
        refused = [Problem("ChildRefused", text) for text in kept.refused]
        await self._events.warn(cluster, refused, run)
        return kept

    async def _act(
        self, cluster: Cluster, todo: Decision, act: Act, run: str, *, remembered: bool
    ) -> float:
        """A claim that cannot be deleted keeps no step from being done."""
        step, waiting = todo.step, todo.waiting
        if not remembered and isinstance(step, Once):
            step, waiting = None, "waiting until the status can be written"
        claims_s = [
            await self._attempts.attempt(
                cluster, f"to delete claim {c.ordinal}", partial(act.delete_claim, c), run
            )
            for c in todo.excess_claims
        ]
        again_s = max(claims_s, default=0.0)
        if step is None:
            return again_s or self._rest(cluster, todo, waiting)
        if failed_s := await self._attempts.attempt(
            cluster, f"{step.kind} {step.pod}".strip(), partial(act.do, step), run
        ):
            return failed_s
        reach(f"after-{step.kind}")
        self._patience.forget((cluster.namespace, cluster.name))
        where = {"cluster": f"{cluster.namespace}/{cluster.name}", "run": run}
        log.info(
            "%s",
            step.reason,
            extra={**where, "step": step.kind, "pod": step.pod, "node_id": step.node_id},
        )
        await self._events.tell(
            cluster, step.kind, step.kind, step.reason, warning=isinstance(step, Recover)
        )
        return AT_ONCE_S

    def _rest(self, cluster: Cluster, todo: Decision, waiting: str) -> float:
        """Seconds until the next pass when there is nothing to do."""
        key = (cluster.namespace, cluster.name)
        if todo.settled:
            self._patience.forget(key)
            return self._rest_s
        return REFUSED_S if todo.refused else self._patience.again_s(key, waiting)

    async def _remember(
        self, cluster: Cluster, body: dict[str, Any], new: dict[str, Any], run: str
    ) -> bool:
        """False when it cannot be written down. That is no reason to leave a cluster alone, and of
        the memory the status tells it."""
        kept = True
        try:
            foreign = await self._memory.keep(cluster, new)
            if foreign:
                await self._events.warn(cluster, [Problem("ChildRefused", foreign)], run)
            else:
                new = {**new, "remembered": True}
        except UNREACHABLE as error:
            raise_if_going(error)
            kept = False
            await self._attempts.refused(cluster, f"ConfigMap {cluster.name}-memory", error, run)
        try:
            await self._status.write(body, new)
        except UNREACHABLE as error:
            raise_if_going(error)
            log.warning(
                "status not written: %s",
                reason(error),
                extra={"cluster": f"{cluster.namespace}/{cluster.name}", "run": run},
            )
            return False
        return kept


def _now() -> str:
    return timestamp().split(".")[0] + "Z"
