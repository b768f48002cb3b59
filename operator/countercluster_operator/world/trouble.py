"""Why something does not start, in the words of those who know: the kubelet (states of containers),
the scheduler, the provisioner, and the controllers (events of pods, claims and the StatefulSet,
conditions of the Deployment).

1. A text begins with a reason in one word, which becomes the reason of `Ready` and of one event:
   docs/operating/trouble.md has a row for each.
2. A text stays the same while the cause does: what counts up in the kubelet's words (pauses,
   attempts) is left out, so that it is reported once. ErrImagePull and ImagePullBackOff are one
   cause.
3. Our own container comes first; one that somebody injected is named. "Running" means our own.
4. Events are asked for only while something does not start and nothing else tells why, and rarely
   (EVENTS_S). They may be missing: nothing is decided by them.
5. What the StatefulSet says of a pod that is there by now is over. Kubernetes writes few events of
   one object, so that the newest may be of another pod and of another cause.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from countercluster_operator import names
from countercluster_operator.model import Cluster
from countercluster_operator.world.api import UNREACHABLE, Kubernetes, TooMuch, UnknownKind
from countercluster_operator.world.observed import Observed, Pod

Object = dict[str, Any]
REDIS = "redis"
STARTING = (None, "", "ContainerCreating", "PodInitializing")
NO_IMAGE = ("ErrImagePull", "ImagePullBackOff")
TELLING = frozenset(
    {
        "FailedMount",
        "FailedAttachVolume",
        "ProvisioningFailed",
        "FailedCreate",
        "FailedScheduling",
        "FailedCreatePodSandBox",
    }
)
"""Reasons of events that say why something does not start."""
MAX_TEXT = 400
MOST_BYTES = 1 << 20
"""Of the events about one object: anybody in the namespace can make some."""
PATIENCE_S = 10.0
"""A pod may take so long to start before anybody is asked why."""
EVENTS_S = 10.0
FRESH_S = 900.0
"""An event that is older tells of something else."""
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_PULLING = re.compile(r"^Back-off pulling image \S+?(: |$)(ErrImagePull: )?")


def statuses(pod: Object, part: str = "containerStatuses") -> list[Object]:
    return pod.get("status", {}).get(part) or []


def running(pod: Object, container: str = names.NODE) -> bool:
    """Rule 3."""
    return any("running" in (c.get("state") or {}) for c in statuses(pod) if c["name"] == container)


def of_pod(pod: Object, container: str = names.NODE) -> str:
    """Empty while nobody knows of anything."""
    ours = [c for c in statuses(pod) if c["name"] == container]
    others = [
        *statuses(pod, "initContainerStatuses"),
        *(c for c in statuses(pod) if c["name"] != container),
    ]
    for found in (*ours, *others):
        if text := _of_container(pod, found):
            reason, _, words = text.partition(": ")
            return _cut(
                text
                if found["name"] == container
                else f"{reason}: container {found['name']}: {words}"
            )
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = condition.get("reason") or "Unschedulable"
            return _cut(
                f"{'FailedScheduling' if reason == 'Unschedulable' else reason}: "
                f"{condition.get('message', '')}"
            )
    return ""


def _of_container(pod: Object, found: Object) -> str:
    state = found.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    last = ended or (found.get("lastState") or {}).get("terminated") or {}
    reason = waiting.get("reason")
    if reason in NO_IMAGE:
        why = _PULLING.sub("", waiting.get("message") or "")
        return (
            f"ImagePullBackOff: image {found.get('image', '?')} cannot be "
            f"pulled{f': {why}' if why else ''}"
        )
    if last.get("reason") == "OOMKilled" and not found.get("ready"):
        return (
            f"OOMKilled: it took more memory than its limit{_limit(pod, found['name'])} "
            f"allows (docs/operating/trouble.md#oomkilled)"
        )
    if reason == "CrashLoopBackOff" or (ended and ended.get("exitCode")):
        return (
            f"CrashLoopBackOff: it ended with exit code {last.get('exitCode', '?')}{_ending(last)}"
        )
    return "" if reason in STARTING else f"{reason}: {waiting.get('message', '')}"


def _ending(last: Object) -> str:
    usual = last.get("reason") in (None, "", "Error", "Completed")
    words = (last.get("message") or "").strip().splitlines()
    return ("" if usual else f" ({last['reason']})") + (f": {words[-1]}" if words else "")


def _limit(pod: Object, container: str) -> str:
    for found in (pod.get("spec") or {}).get("containers") or []:
        if found["name"] == container and (
            limit := ((found.get("resources") or {}).get("limits") or {}).get("memory")
        ):
            return f" of {limit}"
    return ""


def killed(pod: Object, now: datetime.datetime, container: str = names.NODE) -> str:
    """When its memory was the end of our container not long ago, in words; it may be running
    again."""
    for found in statuses(pod):
        last = ((found.get("lastState") or {}).get("terminated")) or {}
        fresh = last.get("finishedAt") and now - datetime.datetime.fromisoformat(
            last["finishedAt"]
        ) < datetime.timedelta(seconds=FRESH_S)
        if found["name"] == container and last.get("reason") == "OOMKilled" and fresh:
            limit = _limit(pod, container)
            return (
                f"{pod['metadata']['name']} took more memory than its limit{limit} allows, "
                f"and was killed at {last['finishedAt']}"
            )
    return ""


def of_deployment(deployment: Object | None) -> str:
    """Why pods are not even made."""
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return _cut(
                f"{condition.get('reason') or 'FailedCreate'}: {condition.get('message', '')}"
            )
    return ""


def troubles(seen: Observed) -> list[tuple[str, str]]:
    """What events say: reason and text."""
    found = [seen.trouble] if seen.trouble is not None else []
    found += [("OOMKilled", pod.killed) for pod in seen.pods if pod.killed]
    found += [("ForeignLabels", seen.crowded)] if seen.crowded else []
    if seen.cache_trouble:
        found.append((seen.cache_trouble.partition(":")[0], f"Redis: {seen.cache_trouble}"))
    return found


def _cut(text: str) -> str:
    reason, colon, words = text.partition(":")
    text = f"{reason if _REASON.match(reason) else 'NotStarted'}{colon}{words}"
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


# --- events ---------------------------------------------------------------------------------------


class Inquiry:
    """Asks the events of what does not start. `clock`: seconds; `now`: for the age of events."""

    def __init__(
        self,
        api: Kubernetes,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        self._api, self._clock, self._now = api, clock, now
        self._found: dict[
            tuple[str, str], tuple[float, list[tuple[str, str]], dict[tuple[str, str], str]]
        ] = {}

    def forget(self, namespace: str, name: str) -> None:
        self._found.pop((namespace, name), None)

    async def explain(self, cluster: Cluster, seen: Observed) -> Observed:
        """The same with the texts of events where there were none, or none that says the cause."""
        subjects = list(_subjects(cluster, seen))
        key = (cluster.namespace, cluster.name)
        if not subjects:
            self._found.pop(key, None)
            return seen
        at_s, asked, texts = self._found.get(key, (0.0, [], {}))
        if asked != subjects or self._clock() - at_s >= EVENTS_S:
            made = {pod.name for pod in seen.pods}
            said = await asyncio.gather(
                *(self._newest(cluster.namespace, *subject, made) for subject in subjects)
            )
            texts = dict(zip(subjects, said, strict=True))
            self._found[key] = (self._clock(), subjects, texts)
        return dataclasses.replace(
            seen,
            pods=tuple(_explained(cluster, pod, texts) for pod in seen.pods),
            not_made=texts.get(("StatefulSet", cluster.name), ""),
        )

    async def _newest(self, namespace: str, kind: str, name: str, made: set[str]) -> str:
        """Rule 5: `made` are the pods that there are."""
        try:
            fields = f"regarding.kind={kind},regarding.name={name},type=Warning"
            events = await self._api.list(
                "events.k8s.io/v1", "Event", namespace, {}, fields=fields, most_bytes=MOST_BYTES
            )
        except (*UNREACHABLE, UnknownKind, TooMuch):
            return ""
        oldest = self._now() - datetime.timedelta(seconds=FRESH_S)
        past = made if kind == "StatefulSet" else set[str]()
        fresh = sorted(
            (
                e
                for e in events
                if e.get("reason") in TELLING
                and _when(e) >= oldest
                and not past & set(_NAME.findall(e.get("note") or ""))
            ),
            key=_when,
        )
        return (
            _cut(f"{fresh[-1]['reason']}: {' '.join((fresh[-1].get('note') or '').split())}")
            if fresh
            else ""
        )


def _when(event: Object) -> datetime.datetime:
    series = (event.get("series") or {}).get("lastObservedTime")
    text = (
        series
        or event.get("deprecatedLastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )
    return (
        datetime.datetime.fromisoformat(text)
        if text
        else datetime.datetime.fromtimestamp(0, datetime.UTC)
    )


def _subjects(cluster: Cluster, seen: Observed) -> Iterator[tuple[str, str]]:
    """What is asked about: the first pod that does not start, with its claim, and the StatefulSet
    when it lacks pods."""
    for pod in seen.pods:
        unknown = not pod.trouble or pod.trouble.startswith("FailedScheduling")
        if not pod.running and not pod.terminating and unknown and pod.age_s >= PATIENCE_S:
            yield ("Pod", pod.name)
            yield ("PersistentVolumeClaim", names.claim(cluster.name, pod.ordinal))
            break
    if len(seen.pods) < (seen.set_replicas or 0):
        yield ("StatefulSet", cluster.name)


def _explained(cluster: Cluster, pod: Pod, texts: dict[tuple[str, str], str]) -> Pod:
    """The provisioner knows better than the scheduler, who only sees that there is no volume."""
    provisioner = texts.get(("PersistentVolumeClaim", names.claim(cluster.name, pod.ordinal)), "")
    text = provisioner or pod.trouble or texts.get(("Pod", pod.name), "")
    return pod if text == pod.trouble else dataclasses.replace(pod, trouble=text)
