"""A support bundle: what somebody else needs to help, and no secret.

Secrets are not even asked for. What could carry one all the same (an environment variable, an
annotation, a line of a log) goes through `clean`: values under names that sound secret, passwords
in URLs, private keys and tokens are struck out. Names of counters are left out, values, too."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

import yaml

from kubectl_counters.kube import Kube, Object, Trouble
from kubectl_counters.nodes import Nodes
from kubectl_counters.views import summary

P = ParamSpec("P")

OUT = "<removed>"
LOG_LINES = 2_000
KINDS = (
    "/api/v1/namespaces/{}/pods", "/api/v1/namespaces/{}/services",
    "/api/v1/namespaces/{}/persistentvolumeclaims",
    "/apis/apps/v1/namespaces/{}/statefulsets", "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
)  # fmt: skip
SECRET_NAME = re.compile(
    r"passw|secret|token|credential|authorization|api.?key|private.?key|requirepass|masterauth",
    re.IGNORECASE,
)
IN_TEXT = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----",
    re.DOTALL), OUT),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL), OUT),
    (re.compile(r"(\w+://)[^/\s@]+@"), rf"\g<1>{OUT}@"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), OUT),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.+/=~-]{8,}"), rf"\g<1> {OUT}"),
    (re.compile(r"(?i)\b(auth)\s+\S+(\s+\S+)?"), rf"\g<1> {OUT}"),
    (re.compile(r"""(?i)(["']?[\w.-]*(?:passw|secret|token|credential|api.?key|requirepass|masterauth)[\w.-]*["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;}]+)"""),
     rf"\g<1>{OUT}"),
    (re.compile(r"(?i)(--(?:requirepass|masterauth|pass(?:word)?|user)[= ])\S+"), rf"\g<1>{OUT}"),
)  # fmt: skip


def clean_text(text: str) -> str:
    for pattern, instead in IN_TEXT:
        text = pattern.sub(instead, text)
    return text


def clean(value: Any, name: str = "") -> Any:
    """The same structure without what is secret, or may be. References to Secrets by name stay."""
    if isinstance(value, dict):
        if SECRET_NAME.search(str(value.get("name", ""))) and isinstance(value.get("value"), str):
            value = {**value, "value": OUT}
        return {
            k: clean(v, k)
            for k, v in value.items()
            if k != "managedFields" and "last-applied-configuration" not in k
        }
    if isinstance(value, list):
        words = [clean(v, name) for v in value]
        for n, word in enumerate(value[:-1]):  # arguments of a program: the word after the flag
            if (
                isinstance(word, str)
                and word.startswith("-")
                and SECRET_NAME.search(word)
                and "=" not in word
            ):
                words[n + 1] = OUT
        return words
    if isinstance(value, str):
        refers = name.lower().endswith(("name", "ref"))
        return OUT if SECRET_NAME.search(name) and not refers else clean_text(value)
    return value


def bundle(kube: Kube, nodes: Nodes, name: str, now: Callable[[], float] = time.time) -> bytes:
    """The .tar.gz. What could not be had is named in its place."""
    out = io.BytesIO()
    root = f"countercluster-{kube.namespace}-{name}"
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, content in _parts(kube, nodes, name):
            data = content.encode()
            info = tarfile.TarInfo(f"{root}/{path}")
            info.size, info.mtime = len(data), int(now())
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _parts(kube: Kube, nodes: Nodes, name: str) -> Iterator[tuple[str, str]]:
    cluster = kube.cluster(name)
    yield "countercluster.yaml", _yaml(cluster)
    pods = kube.pods(name)
    statuses = nodes.statuses(pods)
    yield "status.json", json.dumps(clean(summary(cluster, pods, statuses)), indent=2)
    yield "events.yaml", _or_the_cause(lambda: _yaml(kube.events(name)))
    for path in KINDS:
        yield (
            f"{path.rpartition('/')[2]}.yaml",
            _or_the_cause(lambda path: _yaml(kube.listed(path, name)), path),
        )
    for pod in pods:
        here = str(pod["metadata"]["name"])
        yield f"nodes/{here}/status.json", json.dumps(clean(statuses[here]), indent=2)
        metrics = _or_the_cause(lambda pod: clean_text(nodes.page(pod, "/metrics")), pod)
        yield f"nodes/{here}/metrics.txt", metrics
    for pod in kube.listed("/api/v1/namespaces/{}/pods", name):
        here = str(pod["metadata"]["name"])
        yield f"logs/{here}.log", _or_the_cause(_logs, kube, here, False)
        if any(c.get("restartCount") for c in pod.get("status", {}).get("containerStatuses") or []):
            yield f"logs/{here}.previous.log", _or_the_cause(_logs, kube, here, True)


def _logs(kube: Kube, pod: str, previous: bool) -> str:
    return clean_text(kube.logs(pod, lines=LOG_LINES, previous=previous))


def _yaml(found: Object | list[Object]) -> str:
    return yaml.safe_dump(clean(found), sort_keys=False)


def _or_the_cause(part: Callable[P, str], *args: P.args, **kwargs: P.kwargs) -> str:
    try:
        return part(*args, **kwargs)
    except Trouble as error:
        return f"not had: {error}\n"
