"""A real kube-apiserver with its etcd on loopback, in a few seconds and without a node: for
everything that the API server decides.

The programs are those of the local cluster (kind/tools/programs.py); `make apiserver` makes them
where they are missing. State is in a folder of the test's own; etcd does not sync to disk. There
are no controllers unless asked for: `controllers` names those of the kube-controller-manager that
shall run."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self

import yaml
from counter_node.ports import free_ports

from kind.tools import programs
from kind.tools.settings import KUBERNETES
from tests.support.api_requests import ADMIN_TOKEN, Answer, Request, _request, path_of
from tests.support.begun import whole

START_S = 150.0
SERVICE_ACCOUNTS = "system:serviceaccounts"


class ApiServer:
    """Use as a context manager. Raises AssertionError with the end of the logs when it does not
    come up."""

    def __init__(self, folder: Path, controllers: Sequence[str] = ()) -> None:
        self._folder = folder
        self._controllers = controllers
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._open: list[IO[bytes]] = []
        self._kept: http.client.HTTPSConnection | None = None
        self._lock = threading.Lock()
        self.port = 0
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> Self:
        with whole(self.__exit__):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.close()
        for _name, process in reversed(self._running):
            process.kill()  # nothing of it is kept
            process.wait()
        for log in self._open:
            log.close()
        self._running, self._open = [], []

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        pki = self._folder / "pki"
        self._make_key(pki)
        client, peer, self.port = free_ports(3)
        etcd = f"http://127.0.0.1:{client}"
        self._run(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--log-level=error",
        )
        self._start_server(etcd, pki)
        self._wait()
        self.write_kubeconfig(self.kubeconfig, ADMIN_TOKEN)
        if self._controllers:
            self._start_controllers(pki)

    def _start_server(self, etcd: str, pki: Path) -> None:
        (self._folder / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')
        self._run(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--cert-dir={pki}",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            # it refuses pods until a controller made the default account
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--enable-priority-and-fairness=false",
            "--profiling=false",
            f"--audit-policy-file={self._audit_policy()}",
            f"--audit-log-path={self._folder / 'audit.log'}",
            "--audit-log-mode=blocking",  # in order, and complete when an answer is there
        )

    def _start_controllers(self, pki: Path) -> None:
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(self._controllers)}",
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=false",
            f"--service-account-private-key-file={pki / 'sa.key'}",
        )

    def _audit_policy(self) -> Path:
        """Who asked for what, when it was answered: of the tests' own ServiceAccounts."""
        rules = [
            {"level": "None", "users": ["admin"]},
            {
                "level": "Metadata",
                "userGroups": [SERVICE_ACCOUNTS],
                "omitStages": ["RequestReceived", "ResponseStarted"],
            },
            {"level": "None"},
        ]
        path = self._folder / "audit.yaml"
        path.write_text(
            yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules})
        )
        return path

    def _make_key(self, pki: Path) -> None:
        """The key that signs ServiceAccount tokens."""
        version = ("--kubernetes-version", KUBERNETES)  # else it asks the internet for the newest
        command = [
            *programs.command("kubeadm"),
            "init",
            "phase",
            "certs",
            "sa",
            "--cert-dir",
            str(pki),
            *version,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=START_S)

    def _run(self, name: str, *arguments: str) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        self._open.append(log)
        command = [*programs.command(name), *arguments]
        self._running.append(
            (name, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        )

    def _wait(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            for name, process in self._running:
                assert process.poll() is None, (
                    f"{name} ended with {process.returncode}:\n{self.logs()}"
                )
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                if self.request("GET", "/readyz").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the API server is not ready after {START_S:.0f} s:\n{self.logs()}")

    def logs(self, lines: int = 15) -> str:
        ends = {
            log.name: log.read_text(errors="replace").splitlines()[-lines:]
            for log in sorted(self._folder.glob("*.log"))
        }
        return "\n".join(f"--- {name}\n" + "\n".join(end) for name, end in ends.items())

    def requests(self) -> list[Request]:
        """What ServiceAccounts asked for so far, in the order of the answers."""
        lines = (self._folder / "audit.log").read_text().splitlines()
        return [_request(json.loads(line)) for line in lines]

    def pid(self, name: str) -> int:
        return next(process.pid for known, process in self._running if known == name)

    def write_kubeconfig(self, path: Path, token: str) -> Path:
        """A kubeconfig for whoever has `token`."""
        certificate = base64.b64encode(
            (self._folder / "pki" / "apiserver.crt").read_bytes()
        ).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "it",
                    "cluster": {
                        "server": f"https://127.0.0.1:{self.port}",
                        "certificate-authority-data": certificate,
                    },
                }
            ],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        return path

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = ADMIN_TOKEN,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answer:
        """One request, by default as the administrator."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": content_type,
            "Accept": accept,
        }
        text = None if body is None else json.dumps(body)
        with self._lock:
            status, raw = self._send_again(method, path, text, headers)
        try:
            parsed = json.loads(raw) if raw else {}
        except ValueError:
            parsed = {}
        return Answer(status, parsed if isinstance(parsed, dict) else {"items": parsed})

    def _send_again(
        self, method: str, path: str, text: str | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        try:
            return self._send(method, path, text, headers)
        except (OSError, http.client.HTTPException):
            if self._kept is None:
                raise
            self._kept = None  # it was closed while nobody used it
            return self._send(method, path, text, headers)

    def _send(
        self, method: str, path: str, text: str | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = self._kept
        if connection is None:
            context = ssl.create_default_context(cafile=str(self._folder / "pki" / "apiserver.crt"))
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=context, timeout=90
            )
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        raw = answer.read()
        self._kept = connection
        return answer.status, raw

    def get(self, path: str) -> dict[str, Any]:
        return self.request("GET", path).ok()

    def watch(self, path: str, stop: threading.Event) -> Iterator[dict[str, Any]]:
        """Every version of what is under a collection's path from now on, in order and none left
        out, until `stop` is set."""
        version = str(self.get(path)["metadata"]["resourceVersion"])
        context = ssl.create_default_context(cafile=str(self._folder / "pki" / "apiserver.crt"))
        while not stop.is_set():
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=context, timeout=90
            )
            query = urllib.parse.urlencode(
                {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}
            )
            connection.request(
                "GET", f"{path}?{query}", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
            )
            with connection.getresponse() as answer:
                for line in answer:
                    event = json.loads(line)
                    assert event["type"] != "ERROR", event
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event["object"]
            connection.close()

    def apply(self, manifest: dict[str, Any], *, token: str = ADMIN_TOKEN, **query: str) -> Answer:
        """Server-side apply, as kubectl does it."""
        query = {"fieldManager": "tests", "force": "true", **query}
        return self.request(
            "PATCH",
            path_of(manifest),
            manifest,
            token=token,
            content_type="application/apply-patch+yaml",
            **query,
        )

    def merge(self, path: str, patch: dict[str, Any], *, token: str = ADMIN_TOKEN) -> Answer:
        return self.request(
            "PATCH", path, patch, token=token, content_type="application/merge-patch+json"
        )

    def install(self, *paths: Path) -> None:
        """Applies every document of these files, and waits until custom resources are served."""
        for path in paths:
            for manifest in yaml.safe_load_all(path.read_text()):
                self.apply(manifest).ok()
        end = time.monotonic() + START_S
        while self.request("GET", "/apis/countercluster.io/v1alpha1/counterclusters").status != 200:
            assert time.monotonic() < end, "the CounterCluster resource is not served"
            time.sleep(0.02)

    def namespace(self, name: str, **labels: str) -> str:
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        ).ok()
        return name

    def token(self, namespace: str, account: str) -> str:
        """A token of a ServiceAccount, good for an hour."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        return str(self.request("POST", path, request).ok()["status"]["token"])

    def kubectl(self, *arguments: str, text: str = "") -> str:
        """What a user sees. Raises AssertionError with kubectl's own words."""
        command = [
            *programs.command("kubectl"),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self._folder / 'kubectl'}",
            *arguments,
        ]
        environment = {**os.environ, "HOME": str(self._folder)}
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def running(folder: Path, controllers: Sequence[str] = ()) -> Iterator[ApiServer]:
    with ApiServer(folder, controllers) as server:
        yield server
