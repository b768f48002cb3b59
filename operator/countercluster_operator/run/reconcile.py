"""One pass over one CounterCluster: observe → plan → act → report. Level-triggered: it looks at the
world and never at what has changed.

A CounterCluster or a namespace that goes away in the middle of a pass ends the pass, and nothing
has failed: no warning, no event, no pause before the next look. A status belongs to the very object
that was looked at; one of the same name that took its place meanwhile begins without it."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from countercluster_operator import names
from countercluster_operator.apply.act import Act, NotNow
from countercluster_operator.apply.children import Children, Kept
from countercluster_operator.apply.events import Recorder, timestamp
from countercluster_operator.apply.failpoints import reach
from countercluster_operator.apply.memory import Memory, older_wrote, recalled
from countercluster_operator.credentials.keeper import Keeper, Problem, Refused, not_used
from countercluster_operator.credentials.material import Limits
from countercluster_operator.credentials.secured import Secured
from countercluster_operator.decide import report, restrictions
from countercluster_operator.decide.plan import plan
from countercluster_operator.decide.steps import Once, Plan, Recover
from countercluster_operator.model import Cluster, InvalidSpec, decode, not_said
from countercluster_operator.resources import claims
from countercluster_operator.run.budget import Budget
from countercluster_operator.run.patience import SOON_S, Patience
from countercluster_operator.run.settings import Settings
from countercluster_operator.run.throttle import Throttle
from countercluster_operator.world import clocks
from countercluster_operator.world.api import UNREACHABLE, Kubernetes, is_terminating
from countercluster_operator.world.clocks import Witness
from countercluster_operator.world.handed_out import Heights
from countercluster_operator.world.landscape import Landscape
from countercluster_operator.world.observe import admin, observe
from countercluster_operator.world.observed import Observed
from countercluster_operator.world.refusals import Refusals, reason, retry_after_s
from countercluster_operator.world.trouble import Inquiry, troubles

log = logging.getLogger("countercluster_operator")

AT_REST_S = 60.0
REFUSED_S = 10.0
AT_ONCE_S = 0.2

Key = tuple[str, str]  # namespace, name


CONFLICT = 409


class Gone(Exception):
    """The CounterCluster of this pass is not there any more."""


class Changed(Exception):
    """The CounterCluster was changed, or made anew, since this pass has read it."""


class Reconciler:
    def __init__(self, api: Kubernetes, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._children = Children(api)
        self._events = Recorder(api, settings.identity)
        self._inquiry = Inquiry(api)
        self._witness = Witness(api, admin)
        self._rolls = Throttle(settings.max_rolls)
        self._losses = Budget(settings.healing_per_domain, settings.healing_in_all)
        self._landscape = Landscape(api)
        self._heights = Heights()
        self._patience = Patience()
        self._memory = Memory(api)
        self._attempts = Refusals()
        self._unable: dict[Key, str] = {}  # what the last step of a cluster failed of
        self._rest_s = min(
            AT_REST_S, settings.spread_s
        )  # what has to be waited out is not slept through
        self._keeper = Keeper(
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
            another = await self._is_another(body)
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
        self._keeper.forget(*key)
        self._inquiry.forget(*key)
        self._rolls.release(key)
        self._losses.forget(key)
        self._heights.forget(key)
        self._unable.pop(key, None)
        self._patience.forget(key)
        self._attempts.forget(lambda k: isinstance(k, tuple) and k[:2] == key)
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
            )
        except InvalidSpec as error:
            await self._write_status(
                body, report.invalid(old, body["metadata"]["generation"], str(error), _now())
            )
            return AT_REST_S
        try:
            return await self._pass(cluster, body, old, secrets.token_hex(4))
        except Refused as error:
            await self._events.tell(cluster, "ChildRefused", "Apply", str(error), warning=True)
            await self._write_status(
                body, report.invalid(old, cluster.generation, str(error), _now(), "ChildRefused")
            )
            return REFUSED_S

    async def _pass(
        self, cluster: Cluster, body: dict[str, Any], old: dict[str, Any], run: str
    ) -> float:
        secured, problems = await self._keeper.look(cluster)
        if not_said(cluster.spec):
            problems.append(Problem("OpenPorts", not_said(cluster.spec)))
        context = self._keeper.door(cluster)
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
            seen = dataclasses.replace(seen, blind=self._keeper.blind(cluster, problems))
        refused = restrictions.outside(cluster, self._settings.restrictions)
        problems += [Problem("NotAllowed", one.text) for one in refused]
        withheld = frozenset(kind for one in refused for kind in one.kinds)
        cluster = restrictions.as_it_runs(cluster, seen, old, withheld)
        todo = restrictions.only_what_comes_back(
            self._in_turn(cluster, seen, plan(cluster, seen)), seen, withheld
        )
        if seen.blind:  # that nobody answers says nothing about the members
            todo = dataclasses.replace(todo, step=None, warning=None, waiting=seen.blind)
        if not cluster.spec.paused:
            secured = await self._keeper.renew(cluster, seen, problems)
        await self._tell(cluster, troubles(seen), run)
        problems += not_used(seen)
        await self._tell(cluster, problems, run)
        kept = (
            Kept([], [])
            if cluster.spec.paused
            else await self._keep(cluster, seen, todo, secured, withheld, run)
        )
        if "StatefulSet" in kept.foreign:
            todo = dataclasses.replace(
                todo, step=None, excess_claims=()
            )  # its pods and volumes are not ours to touch
        elif "StatefulSet" in kept.held:
            todo = dataclasses.replace(
                todo, step=None
            )  # a pod that is made anew would use what is not ours
        if kept.moved and await self._is_another(body):
            raise Gone
        written = kept.written
        # what was observed is outdated, and whoever deleted these may have deleted the memory as
        # well
        if written:
            self._memory.doubt(cluster.namespace, cluster.name)
            applied = f"applied {', '.join(written)}"
            todo = (
                dataclasses.replace(todo, applied=applied)
                if todo.settled
                else dataclasses.replace(todo, step=None, waiting=applied)
            )
        if unable := self._unable.pop((cluster.namespace, cluster.name), ""):
            problems.append(Problem("ChildRefused", unable))
        problems += [Problem("ChildRefused", text) for text in kept.refused]
        if problems:
            todo = dataclasses.replace(
                todo, refused_reason=problems[0].reason, refused="; ".join(p.text for p in problems)
            )
        # The status before the act: what must be remembered (target, who bootstraps) is remembered
        # before it is acted upon.
        remembered = await self._remember(
            cluster, body, report.status(cluster, seen, todo, old, _now(), secured), run
        )
        if not remembered and isinstance(todo.step, Once):
            todo = dataclasses.replace(
                todo, step=None, waiting="waiting until the status can be written"
            )
        if jumped := clocks.news(seen.log_time, old):
            await self._events.tell(cluster, "LogTimeJumped", "Observe", jumped)
        if todo.warning is not None and await self._events.tell(
            cluster, todo.warning[0], "Observe", todo.warning[1], warning=True
        ):
            log.warning(
                "%s",
                todo.warning[1],
                extra={"cluster": f"{cluster.namespace}/{cluster.name}", "run": run},
            )
        reach("after-status")
        if cluster.spec.paused or written:
            return AT_REST_S if cluster.spec.paused else AT_ONCE_S
        act = Act(self._api, cluster, seen, addresses, context, self._landscape.forbid)
        again_s = await self._act(cluster, todo, act, run)
        return min(again_s, SOON_S) if kept.moved or report.undecided(seen, todo) else again_s

    def _in_turn(self, cluster: Cluster, seen: Observed, todo: Plan) -> Plan:
        """A healthy member is restarted only while few other clusters do the same."""
        key = (cluster.namespace, cluster.name)
        todo = self._in_budget(key, seen, todo, paused=cluster.spec.paused)
        if todo.settled or cluster.spec.paused or cluster.spec.hibernated:
            self._rolls.release(key)
        elif todo.rolling:
            self._rolls.occupy(key)
        elif todo.step is not None and todo.step.rolls and not self._rolls.admit(key):
            return dataclasses.replace(
                todo,
                step=None,
                waiting=f"its template is outdated; waiting until other clusters are rolled: "
                f"{self._rolls.full}",
            )
        return todo

    async def _tell(self, cluster: Cluster, problems: Sequence[tuple[str, str]], run: str) -> None:
        for why, text in problems:
            if await self._events.tell(cluster, why, "Reconcile", text, warning=True):
                log.warning(
                    "%s", text, extra={"cluster": f"{cluster.namespace}/{cluster.name}", "run": run}
                )

    def _in_budget(self, key: Key, seen: Observed, todo: Plan, *, paused: bool) -> Plan:
        """A member is given up only while few others are. Who is paused gives up none, and takes
        nobody's place."""
        if seen.replacing is not None:
            self._losses.occupy(key, seen.replacing[1])
        if todo.settled:
            self._losses.release(key)
        step = todo.step
        if step is not None and step.gives_up and not paused:
            refusal = self._losses.refusal(key, step.gives_up, self._landscape.silent)
            if refusal:
                text = f"{step.pod} is lost, and is given up when it is its turn: {refusal}"
                return dataclasses.replace(
                    todo, step=None, waiting=text, warning=todo.warning or ("HealingHeld", text)
                )
            todo = dataclasses.replace(todo, replacing=(step.pod, step.gives_up))
        elif seen.replacing is not None and not todo.settled:
            todo = dataclasses.replace(todo, replacing=seen.replacing)
        return todo

    async def _keep(
        self,
        cluster: Cluster,
        seen: Observed,
        todo: Plan,
        secured: Secured,
        withheld: Collection[str],
        run: str,
    ) -> Kept:
        """Sees to the children, and tells what could not be done."""
        volumes = claims.to_write(cluster, seen, todo.excess_claims)
        kept = await self._children.keep(
            cluster, todo.replicas, todo.voters, seen.template_size, volumes, secured, withheld
        )
        where = {"cluster": f"{cluster.namespace}/{cluster.name}", "run": run}
        if kept.written:
            log.info("applied", extra={**where, "children": kept.written})
        await self._tell(cluster, [Problem("ChildRefused", text) for text in kept.refused], run)
        return kept

    async def _act(self, cluster: Cluster, todo: Plan, act: Act, run: str) -> float:
        """A claim that cannot be deleted keeps no step from being done."""
        step = todo.step
        claims_s = [
            await self._attempt(
                cluster, f"to delete claim {c.ordinal}", partial(act.delete_claim, c), run
            )
            for c in todo.excess_claims
        ]
        again_s = max(claims_s, default=0.0)
        if step is None:
            return again_s or self._rest(cluster, todo)
        if failed_s := await self._attempt(
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

    def _rest(self, cluster: Cluster, todo: Plan) -> float:
        """Seconds until it is looked at again when there is nothing to do."""
        key = (cluster.namespace, cluster.name)
        if todo.settled:
            self._patience.forget(key)
            return self._rest_s
        return REFUSED_S if todo.refused else self._patience.again_s(key, todo.waiting)

    async def _attempt(
        self, cluster: Cluster, what: str, work: Callable[[], Awaitable[None]], run: str
    ) -> float:
        """0 when it is done, else the seconds until it is tried again: ever more while it is
        refused."""
        key = (cluster.namespace, cluster.name, what)
        if text := self._attempts.waiting(key, what):
            self._unable[cluster.namespace, cluster.name] = text
            return max(SOON_S, min(REFUSED_S, self._attempts.again_s(key)))
        try:
            await work()
        except NotNow as error:
            log.info(
                "not now: %s: %s",
                what,
                error,
                extra={"cluster": f"{cluster.namespace}/{cluster.name}", "run": run},
            )
            return SOON_S
        except UNREACHABLE as error:
            if isinstance(error, ApiException) and is_terminating(error):
                raise
            text = await self._refuses(cluster, what, error, run)
            self._attempts.add(key, what, text, retry_after_s(error))
            return max(SOON_S, retry_after_s(error), min(REFUSED_S, self._attempts.again_s(key)))
        self._attempts.drop(key)
        return 0.0

    async def _refuses(self, cluster: Cluster, what: str, error: BaseException, run: str) -> str:
        text = f"the API server refuses {what}: {reason(error)}"
        self._unable[cluster.namespace, cluster.name] = text  # the next status tells it
        await self._tell(cluster, [Problem("ChildRefused", text)], run)
        return text

    async def _remember(
        self, cluster: Cluster, body: dict[str, Any], new: dict[str, Any], run: str
    ) -> bool:
        """False when it cannot be written down. That is no reason to leave a cluster alone, and of
        the memory the status tells it."""
        kept = True
        try:
            foreign = await self._memory.keep(cluster, new)
            if foreign:
                await self._tell(cluster, [Problem("ChildRefused", foreign)], run)
            else:
                new = {**new, "remembered": True}
        except UNREACHABLE as error:
            _raise_if_going(error)
            kept = False
            await self._refuses(cluster, f"ConfigMap {cluster.name}-memory", error, run)
        try:
            await self._write_status(body, new)
        except UNREACHABLE as error:
            _raise_if_going(error)
            log.warning(
                "status not written: %s",
                reason(error),
                extra={"cluster": f"{cluster.namespace}/{cluster.name}", "run": run},
            )
            return False
        return kept

    async def _is_another(self, body: dict[str, Any]) -> bool:
        """The CounterCluster is going, is gone, or another one of its name is there."""
        now = await self._api.get(
            names.API_VERSION, names.KIND, body["metadata"]["namespace"], body["metadata"]["name"]
        )
        return now is None or "deletionTimestamp" in now["metadata"] or _uid(now) != _uid(body)

    async def _write_status(self, body: dict[str, Any], new: dict[str, Any]) -> None:
        """With the version of what was looked at: the API server refuses it when that was changed,
        or when another one of the same name has come in its place (a UID would be no help: a status
        carries none). Raises Changed."""
        old, meta = body.get("status") or {}, body["metadata"]
        if new == {k: v for k, v in old.items() if k in new} and old.keys() == new.keys():
            return
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "resourceVersion": meta["resourceVersion"],
            },
            "status": new,
        }
        try:
            await self._api.apply(manifest, subresource="status")
        except ApiException as error:
            if error.status == CONFLICT:
                raise Changed from None
            raise


def _raise_if_going(error: BaseException) -> None:
    """Another object, or none: nothing is left to be done in this pass."""
    if isinstance(error, ApiException) and (
        error.status in (404, CONFLICT) or is_terminating(error)
    ):
        raise error


def _uid(body: dict[str, Any]) -> str:
    return str(body["metadata"]["uid"])


def _now() -> str:
    return timestamp().split(".")[0] + "Z"
