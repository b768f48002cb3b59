"""From what was found to what is shown: first plain data, which `-o json` and `-o yaml` print, then
tables made of nothing else."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Object = dict[str, Any]


def summary(cluster: Object, pods: list[Object], statuses: dict[str, Object]) -> Object:
    """The one object that `status` shows."""
    status, spec = cluster.get("status") or {}, cluster["spec"]
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    leader = next((s for s in _newest_first(statuses) if s.get("role") == "leader"), None)
    matched = {m["name"]: m["matchIndex"] for m in leader["members"]} if leader else {}
    ready = conditions.get("Ready", {})
    unseen = _unseen(cluster["metadata"].get("generation", 0), status)
    return {
        "name": cluster["metadata"]["name"],
        "namespace": cluster["metadata"]["namespace"],
        "ready": ready.get("status") == "True" and not unseen,
        "unseen": unseen,
        "reason": ready.get("reason", ""),
        "message": ready.get("message", "the operator has said nothing yet"),
        "doing": status.get("step", ""),
        "paused": spec.get("paused", False),
        "hibernated": spec.get("hibernated", False),
        "replicas": spec.get("replicas"),
        "leader": leader["name"] if leader else "",
        "term": leader["term"] if leader else None,
        "conditions": [
            {k: c.get(k, "") for k in ("type", "status", "reason", "message")}
            for c in status.get("conditions", [])
        ],
        "members": [
            _member(pod, statuses.get(pod["metadata"]["name"], {}), leader, matched) for pod in pods
        ],
        "cache": _cache(spec, leader),
        "tls": bool((spec.get("tls") or {}).get("enabled")),
        "login": bool((spec.get("auth") or {}).get("enabled")),
        "certificates": status.get("certificates") or {},
    }


def _unseen(generation: int, status: Object) -> str:
    """That the status is of an earlier spec; empty when it is not, and while there is no status at
    all."""
    known = status.get("observedGeneration", generation)
    if known >= generation:
        return ""
    return (
        f"it has not read the newest spec yet (generation {generation}, it knows "
        f"{known}); if that lasts, it does not run"
    )


def _newest_first(statuses: dict[str, Object]) -> list[Object]:
    """A deposed leader that does not know it yet has an older term."""
    return sorted((s for s in statuses.values() if "error" not in s), key=lambda s: -int(s["term"]))


def _member(
    pod: Object, status: Object, leader: Object | None, matched: dict[str, int | None]
) -> Object:
    name = pod["metadata"]["name"]
    match = matched.get(name)
    containers = pod.get("status", {}).get("containerStatuses") or []
    return {
        "name": name,
        "nodeId": status.get("nodeId", ""),
        "role": status.get("role", "unreachable"),
        "ready": status.get("ready", False),
        "reason": status.get("reason", "") or _stuck(pod) or status.get("error", ""),
        "lagEntries": None
        if leader is None or match is None
        else max(0, leader["lastIndex"] - match),
        "appliedIndex": status.get("appliedIndex"),
        "version": status.get("version", ""),
        "machine": pod["spec"].get("nodeName", ""),
        "restarts": sum(c.get("restartCount", 0) for c in containers),
    }


def _stuck(pod: Object) -> str:
    """The kubelet's or the scheduler's reason why the pod does not run; `status` has the whole text
    in its message."""
    for container in pod.get("status", {}).get("containerStatuses") or []:
        state = container.get("state") or {}
        reason = str((state.get("waiting") or state.get("terminated") or {}).get("reason") or "")
        if reason not in ("", "ContainerCreating", "PodInitializing"):
            return reason
    scheduled = [
        c for c in pod.get("status", {}).get("conditions") or [] if c["type"] == "PodScheduled"
    ]
    return next((str(c.get("reason", "")) for c in scheduled if c["status"] == "False"), "")


def _cache(spec: Object, leader: Object | None) -> Object:
    wanted = spec.get("cache", {})
    found = leader["cache"] if leader else {}
    published = found.get("publishedIndex")
    return {
        "enabled": wanted.get("enabled", True),
        "replicas": wanted.get("replicas", 1),
        "connected": found.get("connected"),
        "error": found.get("error", ""),
        "lagEntries": max(0, leader["appliedIndex"] - published)
        if leader and published is not None and found.get("connected")
        else None,
    }


def _shown(value: Any) -> str:
    return "?" if value is None else str(value)


def status_view(found: Object) -> RenderableType:
    serving = any(c["type"] == "Available" and c["status"] == "True" for c in found["conditions"])
    if found["ready"]:
        word = ("Ready", "green")
    elif serving:
        word = (
            "serving by an earlier spec" if found["unseen"] else "serving, not all as it should be",
            "yellow",
        )
    else:
        word = ("not ready", "bold red")
    head = Text.assemble((f"{found['namespace']}/{found['name']}  ", "bold"), word)
    lines: list[RenderableType] = [
        head,
        Text(f"{found['reason']}: {found['message']}" if found["reason"] else found["message"]),
    ]
    lines += [Text(word, style="yellow") for word in ("paused", "hibernated") if found[word]]
    resting = "at rest" if found["conditions"] else "it has not read it yet"
    if found["unseen"]:
        lines.append(Text(f"the operator: {found['unseen']}", style="yellow"))
    elif (
        not found["doing"] or found["doing"] not in found["message"]
    ):  # what was said is not said again
        lines.append(Text(f"the operator: {found['doing'] or resting}"))
    lines += [members_view(found), *_reasons(found), Text(_cache_words(found["cache"]))]
    return Group(
        *lines,
        _security_words(found),
        _complaints([c for c in found["conditions"] if c["type"] != "Ready"]),
    )


def _cache_words(cache: Object) -> str:
    if not cache["enabled"]:
        return "cache: off"
    why = f"; {cache['error']}" if cache["error"] else ""
    return (
        f"cache: {_shown(cache['connected'])} of {cache['replicas']} Redis reached, "
        f"{_shown(cache['lagEntries'])} entries behind{why}"
    )


def _security_words(found: Object) -> Text:
    login = "" if found["login"] else "; nobody has to log in"
    if not found["tls"]:
        return Text(f"plain text: nothing is encrypted{login}", style="yellow")
    known = found["certificates"]
    ends = f"the nodes' until {known['notAfter']}" if "notAfter" in known else "not made yet"
    authority = (
        f", the authority's until {known['authorityNotAfter']}"
        if "authorityNotAfter" in known
        else ""
    )
    phase = f"; a new authority comes: {known['phase']}" if known.get("phase") else ""
    return Text(
        f"certificates: {ends}{authority}{phase}{login}",
        style="yellow" if login or "notAfter" not in known else "",
    )


def members_view(found: Object) -> Table:
    """In 80 columns: of a long name of a machine the end is left out. Why a member is not ready is
    said below (`_reasons`)."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("MEMBER", "ROLE", "READY", "LAG", "APPLIED", "VERSION", "STARTS", "MACHINE"):
        table.add_column(
            column,
            justify="right" if column in ("LAG", "APPLIED", "STARTS") else "left",
            no_wrap=column != "MACHINE",
            overflow="ellipsis",
        )
    for member in found["members"]:
        cells = [
            member["role"],
            "yes" if member["ready"] else "no",
            _shown(member["lagEntries"]),
            _shown(member["appliedIndex"]),
            member["version"],
        ]
        cells += [str(member["restarts"]), member["machine"]]
        style = "bold" if member["role"] == "leader" else "" if member["ready"] else "red"
        table.add_row(Text(member["name"]), *map(Text, cells), style=style)
    return table


def _reasons(found: Object) -> list[Text]:
    return [
        Text(f"{member['name']}: {member['reason']}", style="yellow")
        for member in found["members"]
        if member["reason"]
    ]


def _complaints(conditions: list[Object]) -> RenderableType:
    """Conditions that ask for attention; the good ones need no line."""
    good_when_false = {
        "Progressing",
        "Degraded",
        "ReconcilePaused",
        "ValuesMayRepeat",
        "ClocksDisagree",
        "Reconciling",
        "Stalled",
    }
    silent_when_unknown = {
        "ValuesMayRepeat",
        "ClocksDisagree",
    }  # members of an older version cannot tell
    known = [
        c for c in conditions if not (c["type"] in silent_when_unknown and c["status"] == "Unknown")
    ]
    bad = [c for c in known if c["status"] != ("False" if c["type"] in good_when_false else "True")]
    return Group(
        *(
            Text(f"{c['type']} is {c['status']}: {c['reason']}: {c['message']}", style="yellow")
            for c in bad
        )
    )


RATES = ("counter_commands_total", "counter_command_errors_total", "process_cpu_seconds_total")
LEVELS = ("counter_clients_connected", "counter_keys", "process_resident_memory_bytes")


def rates(before: dict[str, float], after: dict[str, float], seconds: float) -> Object:
    """What a node did between two scrapes. A node that was started again meanwhile counts from
    nothing."""
    found: Object = {
        name: round(max(0.0, after.get(name, 0.0) - before.get(name, 0.0)) / seconds, 1)
        for name in RATES
    }
    return {**found, **{name: after.get(name) for name in LEVELS}}


def top_view(found: Object, by_pod: dict[str, Object]) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        title=f"{found['namespace']}/{found['name']}",
        title_justify="left",
    )
    for column in ("MEMBER", "ROLE", "CMD/S", "ERR/S", "CPU", "MEMORY", "CONNS", "COUNTERS", "LAG"):
        table.add_column(
            column, justify="left" if column in ("MEMBER", "ROLE") else "right", no_wrap=True
        )
    for member in found["members"]:
        row = by_pod.get(member["name"], {})
        memory = row.get("process_resident_memory_bytes")
        cells = [
            member["role"],
            *(_shown(row.get(name)) for name in RATES),
            "?" if memory is None else f"{memory / 2**20:.0f} MiB",
        ]
        cells += [
            "?" if row.get(name) is None else f"{row[name]:.0f}"
            for name in ("counter_clients_connected", "counter_keys")
        ]
        table.add_row(
            Text(member["name"]),
            *map(Text, cells),
            _shown(member["lagEntries"]),
            style="bold" if member["role"] == "leader" else "",
        )
    return table


def samples(page: str) -> dict[str, float]:
    """Sums over labels, by the name of the sample, of a page in Prometheus' text format."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0]
            found[name] = found.get(name, 0.0) + float(value)
    return found
