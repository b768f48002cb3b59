"""A CounterCluster as its pods and nodes tell it, and loads that run inside the cluster: shared by
the demo and the end-to-end tests.

Nothing here trusts the operator: "settled" means that the pods are ready, that the leader names
exactly them as voters who have caught up, and that the conditions say so as well."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from examples.demo_kube import Broken, Namespace, Object, condition, node_status, pod_ready, wait

NODE_IMAGE = "countercluster/node:dev"
NODE_IMAGE_NEXT = "countercluster/node:dev-next"
TOOLS_IMAGE = "countercluster/tools:dev"
"""The node's programs, the client among them, and a shell: the product's images have none."""
CAUGHT_UP = 500
"""Entries: about two seconds of the load that runs meanwhile."""


@dataclass(frozen=True)
class CounterCluster:
    """One CounterCluster, read again at each question."""

    space: Namespace
    name: str

    def get(self) -> Object | None:
        return self.space.get("counterclusters", self.name)

    def pods(self) -> list[Object]:
        """The pods of its StatefulSet, by ordinal."""
        prefix = self.name + "-"
        found = [
            pod
            for pod in self.space.list("pods")
            if pod["metadata"]["name"].removeprefix(prefix).isdigit()
            and pod["metadata"]["name"].startswith(prefix)
        ]
        return sorted(found, key=lambda pod: int(pod["metadata"]["name"].removeprefix(prefix)))

    def pod_names(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods()]

    def uids(self) -> dict[str, str]:
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.pods()}

    def node_status(self, pod: str) -> Object | None:
        return node_status(self.space, pod)

    def node_statuses(self) -> dict[str, Object]:
        """Asked all at once: a pod that was just killed lets one wait for its answer."""
        pods = self.pod_names()
        with ThreadPoolExecutor(max_workers=8) as pool:
            answers = zip(pods, pool.map(self.node_status, pods), strict=True)
            return {pod: status for pod, status in answers if status and "nodeId" in status}

    def leader(self) -> str:
        """The pod that leads now, "" while none does."""
        leading = [
            (status["term"], pod)
            for pod, status in self.node_statuses().items()
            if status["role"] == "leader"
        ]
        return max(leading)[1] if leading else ""

    def wait_leader(self, other_than: str = "", seconds: float = 30) -> str:
        found = ""

        def lack() -> str:
            nonlocal found
            found = self.leader()
            return "" if found and found != other_than else f"leader is {found or 'unknown'}"

        wait(
            f"a leader of {self.name}" + (f" other than {other_than}" if other_than else ""),
            seconds,
            lack,
        )
        return found

    def lack(self, replicas: int, image: str = "") -> str:
        """What keeps it from being settled with so many voters on that image; "" when nothing
        does."""
        resource = self.get()
        if resource is None:
            return "the CounterCluster is not there"
        status = resource.get("status", {})
        if status.get("observedGeneration") != resource["metadata"]["generation"]:
            return "the operator has not seen the last change yet"
        pods = self.pods()
        ready = [pod["metadata"]["name"] for pod in pods if pod_ready(pod)]
        if len(pods) != replicas or len(ready) != replicas:
            return f"{len(ready)} of {len(pods)} pods ready, {replicas} wanted"
        old = [
            pod["metadata"]["name"]
            for pod in pods
            if image and pod["spec"]["containers"][0]["image"] != image
        ]
        if old:
            return f"{', '.join(old)} still with the old image"
        leader = self.leader()
        members = (self.node_status(leader) or {}).get("members", []) if leader else []
        voters = {member["name"] for member in members if member["voter"]}
        if voters != set(ready) or len(members) != replicas:
            return f"voters are {', '.join(sorted(voters)) or 'unknown'}"
        if any(member["matchIndex"] is None for member in members):
            return f"{leader} leads no more"  # only a leader knows how far the others are
        end = max(member["matchIndex"] for member in members)
        behind = [member["name"] for member in members if end - member["matchIndex"] > CAUGHT_UP]
        if behind:
            return f"{', '.join(behind)} is behind"
        for which, wanted in (("Ready", "True"), ("Progressing", "False")):
            now = condition(resource, which)
            if now.get("status") != wanted:
                return (
                    f"condition {which} is {now.get('status', 'absent')}: "
                    f"{now.get('reason', '')} {now.get('message', '')}"
                ).strip()
        return ""

    def cache_lack(self) -> str:
        cache = self.space.get("deployments", f"{self.name}-cache")
        wanted = cache["spec"]["replicas"] if cache else 0
        ready = cache.get("status", {}).get("readyReplicas", 0) if cache else 0
        return "" if cache and ready >= wanted else f"Redis: {ready} of {wanted or '?'} pods ready"

    def wait_settled(
        self,
        replicas: int,
        seconds: float,
        image: str = "",
        cache: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> float:
        what = f"{self.name} with {replicas} voters" + (f" on {image}" if image else "")
        return wait(
            what,
            seconds,
            lambda: self.lack(replicas, image) or (self.cache_lack() if cache else ""),
            say,
        )

    def wait_rolled(
        self, image: str, replicas: int, seconds: float, say: Callable[[str], None] | None = None
    ) -> list[str]:
        """Waits until it is settled on that image; the pods in the order in which they were
        replaced."""
        before = self.uids()
        order: list[str] = []

        def lack() -> str:
            now = self.uids()
            order.extend(pod for pod in now if now[pod] != before.get(pod) and pod not in order)
            gone = len(before) - len(now)
            return (f"{gone} pods missing" if gone > 1 else "") or self.lack(replicas, image)

        wait(f"{self.name} rolled to {image}", seconds, lack, say)
        return order


TOOLS = "tools"


@dataclass(frozen=True)
class Tools:
    """A pod with the project's client in the cluster: loads and readers run in it, so that they use
    Services and names as any client does."""

    space: Namespace
    cluster: str

    @property
    def binding(self) -> str:
        """Where the pod finds how to connect: the Secret that the operator makes is mounted there,
        so the pod starts when it is made."""
        return f"/bindings/{self.cluster}"

    def start(self) -> None:
        container = {
            "name": TOOLS,
            "image": TOOLS_IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "infinity"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "binding", "mountPath": self.binding, "readOnly": True}],
        }
        volume = {"name": "binding", "secret": {"secretName": f"{self.cluster}-client"}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": TOOLS, "labels": {"app": TOOLS}},
            "spec": {
                "containers": [container],
                "volumes": [volume],
                "terminationGracePeriodSeconds": 0,
            },
        }
        self.space("apply", "-f", "-", stdin=json.dumps(pod))

    def wait(self, seconds: float = 60) -> None:
        def lack() -> str:
            pod = self.space.get("pods", TOOLS)
            return "" if pod and pod_ready(pod) else "not running"

        wait(f"pod {TOOLS}", seconds, lack)

    def python(self, program: str, *words: str, seconds: float = 60) -> str:
        return self.space("exec", TOOLS, "--", "python3", "-c", program, *words, seconds=seconds)

    def values(self, key: str, addresses: list[str]) -> dict[str, str]:
        """GET of a key at each address (host:port), asked one after another; an error in the place
        of a value starts with "!"."""
        answers: dict[str, str] = json.loads(self.python(_READER, self.binding, key, *addresses))
        return answers

    def load(self, key: str, *words: str) -> Load:
        return Load(self.space, key, self.binding, words)


_READER = """
import json, sys, redis
from countercluster.addresses import Binding
found, key, answers = Binding(sys.argv[1]), sys.argv[2], {}
for address in sys.argv[3:]:
    host, port = address.rsplit(":", 1)
    options = found.cache_options if host.endswith("-cache") else found.options
    scheme = found.url.partition("://")[0]
    try:
        patience = {"socket_timeout": 10, "socket_connect_timeout": 5}
        url = f"{scheme}://{address}"
        with redis.Redis.from_url(url, decode_responses=True, **patience, **options) as node:
            answers[address] = node.get(key) or ""
    except redis.RedisError as error:
        answers[address] = f"!{type(error).__name__}: {error}"
print(json.dumps(answers))
"""


class Load:
    """`countercluster.load` running in the tools pod, from construction until `result()` or
    `stop()`."""

    def __init__(self, space: Namespace, key: str, binding: str, words: tuple[str, ...]) -> None:
        self._space = space
        self._pid_file = f"/tmp/{key.replace(':', '-')}.pid"
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        program = (
            f"echo $$ >{self._pid_file}; exec python3 -m countercluster.load --binding "
            f'{binding} --key {key} --json "$@"'
        )
        self._process = subprocess.Popen(
            ["kubectl", "-n", space.name, "exec", TOOLS, "--", "sh", "-c", program, "load", *words],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def progress(self) -> str:
        """All that the load wrote to standard error until now."""
        self._errors.seek(0)
        return self._errors.read()

    def wait_counting(self, seconds: float = 30) -> None:
        """Until increments are acknowledged."""

        def lack() -> str:
            said = self.progress().strip()
            if self._process.poll() is not None:
                raise Broken(f"the load ended before its time: {said[-1000:]}")
            return (
                ""
                if re.search(r"[1-9][\d,]* acknowledged", said)
                else f"it says {said[-200:] or 'nothing yet'}"
            )

        wait("the first increments of the load", seconds, lack)

    def stop(self, seconds: float = 75) -> Object:
        """Ends the counting, not the books: see countercluster.load."""
        self._space("exec", TOOLS, "--", "sh", "-c", f"kill -TERM $(cat {self._pid_file})")
        return self.result(seconds)

    def result(self, seconds: float = 75) -> Object:
        """The JSON object of countercluster.load; raises Broken when the books do not balance, or
        an increment was given up."""
        try:
            out, _ = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise Broken(f"the load did not end within {seconds:.0f} s") from None
        err = self.progress()
        try:
            books: Object = json.loads(out.strip().splitlines()[-1])
        except (IndexError, json.JSONDecodeError):
            raise Broken(
                f"the load ended with exit code {self._process.returncode} and said: "
                f"{err.strip()[-1000:] or out[-1000:]}"
            ) from None
        for fault in ("lost", "doubled", "unknown", "errors"):
            if books[fault]:
                raise Broken(
                    f"increments {fault}: {books[fault]} of {books['acknowledged']} "
                    f"acknowledged; {'; '.join(books['problems'])}"
                )
        if self._process.returncode:
            raise Broken(
                f"the load ended with exit code {self._process.returncode}: {err.strip()[-1000:]}"
            )
        if not books["acknowledged"]:
            raise Broken("the load counted nothing at all")
        return books

    def abandon(self) -> None:
        """After a failure: nobody wants the result any more."""
        if self._process.poll() is None:
            with contextlib.suppress(Broken):
                self._space(
                    "exec",
                    TOOLS,
                    "--",
                    "sh",
                    "-c",
                    f"kill -KILL $(cat {self._pid_file})",
                    seconds=10,
                )
            self._process.kill()
        self._process.communicate()
