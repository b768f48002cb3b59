"""The Kubernetes cluster through kubectl, as the demo and the end-to-end tests use it.

Rules: reading goes through one `kubectl proxy` (a poll costs milliseconds, not a new process),
changing through `kubectl` as a user would type it. Every wait has an end and says what was missing.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Object = dict[str, Any]

POLL_S = 0.3
OPERATOR_NAMESPACE = "countercluster-system"
RESOURCES = "/apis/countercluster.io/v1alpha1"


class Broken(Exception):
    """A promise that was not kept, or not in time."""


def wait(
    what: str, seconds: float, missing: Callable[[], str], say: Callable[[str], None] | None = None
) -> float:
    """Asks `missing` until it answers "" and returns the seconds that took; raises Broken with its
    last answer after `seconds`."""
    start = time.monotonic()
    while lack := missing():
        passed = time.monotonic() - start
        if passed > seconds:
            raise Broken(f"{what}: not within {seconds:.0f} s; {lack}")
        if say:
            say(lack)
        time.sleep(POLL_S)
    return time.monotonic() - start


def kubectl(*words: str, stdin: str | None = None, check: bool = True, seconds: float = 60) -> str:
    """Its standard output; raises Broken with what it wrote to standard error. `check=False`:
    returns both, whatever the exit code."""
    try:
        done = subprocess.run(
            ["kubectl", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise Broken('kubectl is not on PATH; try: eval "$(python3 kind/local.py env)"') from None
    except subprocess.TimeoutExpired:
        raise Broken(f"kubectl {' '.join(words)}: no answer within {seconds:.0f} s") from None
    if not check:
        return done.stdout + done.stderr
    if done.returncode:
        raise Broken(f"kubectl {' '.join(words)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


class Api:
    """Reads from the API server through one `kubectl proxy`, which ends with this process."""

    def __init__(self) -> None:
        self._proxy: subprocess.Popen[str] | None = None
        self._base = ""

    def _start(self) -> None:
        self._proxy = subprocess.Popen(
            ["kubectl", "proxy", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        atexit.register(self.stop)
        assert self._proxy.stdout
        line = self._proxy.stdout.readline()
        if "127.0.0.1:" not in line:
            raise Broken(
                f"kubectl proxy did not start: {line.strip()}; is the cluster up (make cluster)?"
            )
        self._base = f"http://127.0.0.1:{line.strip().rsplit(':', 1)[1]}"

    def stop(self) -> None:
        if self._proxy:
            self._proxy.kill()
            self._proxy.wait()
            if self._proxy.stdout:
                self._proxy.stdout.close()
            self._proxy = None

    def get(
        self, path: str, query: dict[str, str] | None = None, seconds: float = 5
    ) -> Object | None:
        """The object at `path`; None when there is none, or when the pod behind a proxied path does
        not answer."""
        if self._proxy is None:
            self._start()
        url = self._base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        try:
            with urllib.request.urlopen(url, timeout=seconds) as answer:
                found: Object = json.load(answer)
                return found
        except (urllib.error.HTTPError, TimeoutError, ConnectionError, json.JSONDecodeError):
            return None
        except urllib.error.URLError as error:
            raise Broken(f"the API server does not answer: {error.reason}") from error

    def items(self, path: str, query: dict[str, str] | None = None) -> list[Object]:
        found = self.get(path, query)
        return list(found["items"]) if found else []


API = Api()


@dataclass(frozen=True)
class Namespace:
    name: str

    def __call__(
        self, *words: str, stdin: str | None = None, check: bool = True, seconds: float = 60
    ) -> str:
        return kubectl("-n", self.name, *words, stdin=stdin, check=check, seconds=seconds)

    def make(self) -> None:
        """Makes it when it is not there; waits for an old one of this name that is just being
        deleted."""

        def lack() -> str:
            there = API.get(f"/api/v1/namespaces/{self.name}")
            return (
                "the old one is still being deleted"
                if there and there["metadata"].get("deletionTimestamp")
                else ""
            )

        wait(f"namespace {self.name}", 60, lack)
        kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
            ),
        )

    def get(self, kind: str, name: str) -> Object | None:
        return API.get(f"{self._root(kind)}/{name}")

    def list(self, kind: str, selector: str = "") -> list[Object]:
        return API.items(self._root(kind), {"labelSelector": selector} if selector else None)

    def _root(self, kind: str) -> str:
        group = {
            "counterclusters": RESOURCES,
            "statefulsets": "/apis/apps/v1",
            "deployments": "/apis/apps/v1",
            "poddisruptionbudgets": "/apis/policy/v1",
            "endpointslices": "/apis/discovery.k8s.io/v1",
            "networkpolicies": "/apis/networking.k8s.io/v1",
        }.get(kind, "/api/v1")
        return f"{group}/namespaces/{self.name}/{kind}"


def condition(thing: Object, which: str) -> Object:
    """A condition of an object's status, {} when it has none of that type."""
    return next(
        (dict(c) for c in thing.get("status", {}).get("conditions", []) if c["type"] == which), {}
    )


def pod_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get(
        "deletionTimestamp"
    )


def node_status(space: Namespace, pod: str) -> Object | None:
    """What the node in a pod says of itself (docs/internals/node-interface.md); None when it does
    not answer."""
    for scheme in _schemes.get(space.name, ("https:", "http:")):
        if found := API.get(
            f"/api/v1/namespaces/{space.name}/pods/{scheme}{pod}:8080/proxy/status", seconds=2
        ):
            _schemes[space.name] = (scheme,)
            return found
    return None


_schemes: dict[str, tuple[str, ...]] = {}
"""What the nodes of a namespace speak: https unless their CounterCluster says otherwise."""


@contextlib.contextmanager
def port_forward(space: Namespace, target: str, port: int) -> Iterator[int]:
    """The local port under which `target` (pod/… or svc/…) answers."""
    words = ["kubectl", "-n", space.name, "port-forward", target, f":{port}"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            if "127.0.0.1:" not in line:
                raise Broken(f"kubectl port-forward {target}: {line.strip()}")
            yield int(line.split("127.0.0.1:")[1].split()[0])
        finally:
            process.kill()


class _Diagnosis:
    """Answers of kubectl in files. A refusal is written in place of its answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def ask(self, name: str, *words: str) -> None:
        try:
            self.keep(name, kubectl(*words, check=False, seconds=20))
        except Broken as broken:
            self.keep(name, f"{broken}\n")

    def ask_about(self, space: Namespace) -> None:
        def ask(what: str, *words: str) -> None:
            self.ask(f"{space.name}-{what}", "-n", space.name, *words)

        kinds = "counterclusters,all,pvc,pdb,configmaps,secrets"
        ask("objects.txt", "get", kinds, "-o", "wide")
        ask("counterclusters.yaml", "get", "counterclusters", "-o", "yaml")
        ask("describe.txt", "describe", "pods")
        ask("events.txt", "get", "events", "--sort-by=.lastTimestamp")
        for pod in space.list("pods"):
            name = pod["metadata"]["name"]
            ask(f"{name}.log", "logs", name, "--all-containers", "--tail=2000")
            if any(
                status.get("restartCount")
                for status in pod.get("status", {}).get("containerStatuses", [])
            ):
                ask(f"{name}-previous.log", "logs", name, "--previous", "--tail=2000")
            with contextlib.suppress(Broken):
                status = node_status(space, name)
                if status:
                    self.keep(f"{space.name}-{name}-status.json", json.dumps(status, indent=1))


def diagnose(spaces: list[Namespace], folder: Path) -> Path:
    """Writes all that helps to understand a failure to `folder`; never raises because of the state
    of the cluster."""
    diagnosis = _Diagnosis(folder)
    diagnosis.ask("nodes.txt", "get", "nodes", "-o", "wide")
    for space in [*spaces, Namespace(OPERATOR_NAMESPACE)]:
        diagnosis.ask_about(space)
    return folder
