"""What every command of `kubectl counters` needs: the options before the command, a way to the
cluster, and how a result is shown."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import TextIO

from kubectl_counters import views
from kubectl_counters.connector import Connector
from kubectl_counters.kube import Kube, Object, Trouble
from kubectl_counters.nodes import Dial, Nodes


class Output(enum.StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Progress:
    """One line that is written over, where somebody looks at a terminal; nothing elsewhere, and
    nothing that stays."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock, self._shown_s = stream, clock, clock()
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def tell(self, text: str) -> None:
        """At most twice a second."""
        if self._stream.isatty() and self._clock() - self._shown_s >= 0.5:
            self._shown_s = self._clock()
            self._stream.write(f"\r{text:<{self._width}}")
            self._stream.flush()
            self._width = max(self._width, len(text))

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._stream.write(f"\r{'':<{self._width}}\r")
            self._stream.flush()


GLOBAL = ("-n", "--namespace", "--context", "--kubeconfig")


class Session:
    """What the global options made: where to ask. `dial`: how a pod is reached, where it is not
    through the API server."""

    def __init__(self, kube: Kube, dial: Dial | None = None) -> None:
        self.kube, self._dial = kube, dial or kube.dial
        self._nodes: dict[str, Nodes] = {}

    @property
    def dial(self) -> Dial:
        return self._dial

    def nodes(self, name: str, cluster: Object | None = None) -> Nodes:
        """Raises Trouble when there is no such cluster."""
        if name not in self._nodes:
            self._nodes[name] = Nodes(
                self._dial, Connector(cluster or self.kube.cluster(name), self.kube.secret)
            )
        return self._nodes[name]

    def found(self, name: str) -> tuple[list[Object], Object]:
        cluster, pods = self.kube.cluster(name), self.kube.pods(name)
        return pods, views.summary(cluster, pods, self.nodes(name, cluster).statuses(pods))

    def ready_pod(self, name: str) -> Object:
        """A member that serves. Raises Trouble."""
        pods, found = self.found(name)
        ready = {m["name"] for m in found["members"] if m["ready"]}
        for pod in pods:
            if pod["metadata"]["name"] in ready:
                return pod
        raise Trouble(f"no member of {name} is ready: {found['message']}")
