"""What the plugin asks of the Kubernetes API, with the rights of whoever runs it. Nodes are reached
through its port-forward: users sit outside."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import portforward

GROUP, VERSION, PLURAL = "countercluster.io", "v1alpha1", "counterclusters"
RESP, ADMIN, HTTP = 6379, 7001, 8080
TIMEOUT_S = 15
PORT_FORWARD = "Kubernetes port forward proxy"
"""How kubernetes.stream.ws_client names its threads."""

Object = dict[str, Any]


class Trouble(Exception):
    """What went wrong, for the person at the terminal."""


class Kube:
    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api: Any = api
        self._custom: Any = client.CustomObjectsApi(api)
        self.namespace = namespace

    @classmethod
    def connect(
        cls, kubeconfig: str | None = None, context: str | None = None, namespace: str | None = None
    ) -> Kube:
        """Raises Trouble when there is no usable kubeconfig."""
        try:
            config.load_kube_config(kubeconfig, context)
            _, current = config.list_kube_config_contexts(kubeconfig)
        except (ConfigException, OSError) as error:
            raise Trouble(f"no usable kubeconfig: {error}") from None
        return cls(
            client.ApiClient(), namespace or current["context"].get("namespace") or "default"
        )

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            raise Trouble(f"{what} in namespace {self.namespace}: {_words(error)}") from None
        except (OSError, client.exceptions.OpenApiException) as error:
            raise Trouble(f"{what}: the API server is not reached: {error}") from None

    def cluster(self, name: str) -> Object:
        with self._asking(f"CounterCluster {name}"):
            found: Object = self._custom.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, name, _request_timeout=TIMEOUT_S
            )
            return found

    def clusters(self) -> list[str]:
        with self._asking("CounterClusters"):
            found = self._custom.list_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, _request_timeout=TIMEOUT_S
            )
            return [item["metadata"]["name"] for item in found["items"]]

    def edit(self, name: str, spec: Object) -> None:
        """Merges `spec` into the spec (RFC 7386)."""
        with self._asking(f"CounterCluster {name}"):
            self._custom.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                PLURAL,
                name,
                {"spec": spec},
                _content_type="application/merge-patch+json",
                _request_timeout=TIMEOUT_S,
            )

    def listed(self, path: str, name: str) -> list[Object]:
        """What carries the cluster's labels, as plain objects. `path`: with {} for the namespace,
        e.g. /api/v1/namespaces/{}/pods."""
        with self._asking(path.rpartition("/")[2]):
            query = [("labelSelector", f"app.kubernetes.io/instance={name}")]
            body = self._raw(path.format(self.namespace), query)
            items: list[Object] = json.loads(body)["items"]
            return items

    def read(self, path: str, labels: str = "") -> Object:
        """One object, or a list of those that have these labels, by its path."""
        with self._asking(path.rpartition("/")[2]):
            found: Object = json.loads(
                self._raw(path, [("labelSelector", labels)] if labels else [])
            )
            return found

    def pods(self, name: str) -> list[Object]:
        """Of the nodes, by name."""
        found = [
            p
            for p in self.listed("/api/v1/namespaces/{}/pods", name)
            if p["metadata"]["labels"].get("app.kubernetes.io/component") == "node"
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def events(self, name: str) -> list[Object]:
        """About the CounterCluster and what is named after it, oldest first."""
        with self._asking("events"):
            items: list[Object] = json.loads(
                self._raw(f"/api/v1/namespaces/{self.namespace}/events", [])
            )["items"]
        ours = [
            e
            for e in items
            if e["involvedObject"].get("name", "") == name
            or e["involvedObject"].get("name", "").startswith(f"{name}-")
        ]
        return sorted(ours, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))

    def logs(self, pod: str, *, lines: int, previous: bool = False) -> str:
        with self._asking(f"log of {pod}"):
            query = [("tailLines", str(lines)), ("previous", str(previous).lower())]
            return self._raw(f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log", query).decode(
                errors="replace"
            )

    def secret(self, name: str) -> dict[str, bytes]:
        with self._asking(f"Secret {name}"):
            data = (
                json.loads(
                    self._raw(f"/api/v1/namespaces/{self.namespace}/secrets/{name}", [])
                ).get("data")
                or {}
            )
        return {key: base64.b64decode(value) for key, value in data.items()}

    def _raw(self, path: str, query: list[tuple[str, str]]) -> bytes:
        request = self._api.param_serialize(
            "GET", path, query_params=query, auth_settings=["BearerToken"]
        )
        answer = self._api.call_api(*request, _request_timeout=TIMEOUT_S)
        data: bytes = answer.read()
        if answer.status >= 300:
            raise ApiException(
                status=answer.status, reason=answer.reason, body=data.decode(errors="replace")
            )
        return data

    def dial(self, pod: Object, port: int) -> socket.socket:
        """A connection to a port of a pod. Raises Trouble."""
        name = pod["metadata"]["name"]
        with self._asking(f"port {port} of {name}"):
            core = client.CoreV1Api(
                client.ApiClient(self._api.configuration)
            )  # the stream bends its client for a moment: each thread its own
            forward = portforward(
                core.connect_get_namespaced_pod_portforward, name, self.namespace, ports=str(port)
            )
            found: socket.socket = forward.socket(port)
            found.settimeout(TIMEOUT_S)
            return found


def quiet_port_forwards() -> None:
    """The library's thread behind each port-forward does not expect that we are done while the
    other side still has something to say, such as the end of TLS, and would write a traceback to
    the terminal."""
    others = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if not (
            isinstance(failure.exc_value, OSError)
            and failure.thread is not None
            and failure.thread.name.startswith(PORT_FORWARD)
        ):
            others(failure)

    threading.excepthook = hook


def _words(error: ApiException) -> str:
    """The API server's own. A port-forward that is refused has them at the end of the reason,
    behind all the headers of the answer."""
    reason = str(error.reason)
    for text in (error.body or "", reason[reason.find('{"') :] if '{"' in reason else ""):
        with contextlib.suppress(TypeError, ValueError, KeyError):
            return str(json.loads(text)["message"])
    return reason
