"""A machine for the pods of an API server that has none: `python -m tests.support.kubelet
KUBECONFIG FOLDER`.

Each pod of a StatefulSet of nodes is a real node (counter_node.node), with its own loopback
address, its own disk in the folder of its claim, and the environment of its container; all of them
share this one process. What a kubelet, a volume provisioner and the DNS of a cluster do is
done here: claims are bound, pods get addresses and become ready by their own `/readyz`, names of
pods resolve. Sidecars are said to run as the node beside them does. Pods without a node are not
run, and never become ready. Linux only: all of 127.0.0.0/8 is this machine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import itertools
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from counter_node import settings
from counter_node.node.node import Node

from tests.support.kubelet_api import Api, Object

PROBE_S = 0.3
FIRST_ADDRESS = int(ipaddress.IPv4Address("127.64.0.0"))
ROOT = Path(__file__).resolve().parents[2]
log = logging.getLogger("kubelet")


class Kubelet:
    def __init__(self, api: Api, folder: Path) -> None:
        self._api, self._folder = api, folder
        self._addresses: dict[
            str, str
        ] = {}  # of a pod, as DNS has it: name.subdomain.namespace.svc
        self._numbers = itertools.count(
            os.getpid() % 64 << 16 | 1
        )  # another machine may run beside this one
        self._claims: dict[str, Object] = {}  # by namespace/name
        self._pods: dict[str, asyncio.Task[None]] = {}  # by uid
        self._disks: dict[
            str, asyncio.Lock
        ] = {}  # by uid of the claim: one node at a time opens it
        self._claims_changed = asyncio.Condition()
        self._secrets: dict[str, Object] = {}  # by namespace/name
        self._mounts: dict[
            str, dict[Path, str]
        ] = {}  # by uid of the pod: folder, namespace/name of the Secret in it
        self._anybody = (
            ssl.create_default_context()
        )  # a kubelet does not look whose certificate it is
        self._anybody.check_hostname, self._anybody.verify_mode = False, ssl.CERT_NONE
        self._resolve = socket.getaddrinfo
        socket.getaddrinfo = self._getaddrinfo  # type: ignore[assignment]  # the only DNS here

    def _getaddrinfo(self, host: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(host, str) and host.endswith(".svc"):
            if host not in self._addresses:
                raise socket.gaierror(socket.EAI_NONAME, f"no pod has the name {host}")
            host = self._addresses[host]
        return self._resolve(host, *rest, **more)

    async def run(self) -> None:
        await asyncio.gather(
            self._follow("/api/v1/persistentvolumeclaims", self._claim),
            self._follow("/api/v1/pods", self._pod),
            self._follow("/api/v1/secrets", self._secret),
        )

    async def _follow(self, path: str, handle: Callable[[str, Object], Any]) -> None:
        async for kind, item in self._api.follow(path):
            await handle(kind, item)

    async def _claim(self, kind: str, claim: Object) -> None:
        meta = claim["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        if kind == "DELETED":
            self._claims.pop(key, None)
            shutil.rmtree(self._folder / meta["uid"], ignore_errors=True)
            return
        size = claim["spec"]["resources"]["requests"]["storage"]
        if claim.get("status", {}).get("capacity", {}).get("storage") != size:
            path = f"/api/v1/namespaces/{meta['namespace']}/persistentvolumeclaims/{meta['name']}"
            await self._api.patch_status(
                path,
                {
                    "phase": "Bound",
                    "capacity": {"storage": size},
                    "accessModes": claim["spec"]["accessModes"],
                },
            )
        async with self._claims_changed:
            self._claims[key] = claim
            self._claims_changed.notify_all()

    async def _secret(self, kind: str, secret: Object) -> None:
        key = f"{secret['metadata']['namespace']}/{secret['metadata']['name']}"
        if kind == "DELETED":
            self._secrets.pop(key, None)
            return
        async with self._claims_changed:
            self._secrets[key] = secret
            self._claims_changed.notify_all()
        for mounts in self._mounts.values():
            for folder, name in mounts.items():
                if name == key:
                    self._fill(folder, secret)

    def _fill(self, folder: Path, secret: Object) -> None:
        """All files of a mounted Secret change at once: they are links through one link that is
        replaced."""
        new = folder / f"..{secret['metadata']['resourceVersion']}"
        new.mkdir(parents=True, exist_ok=True)
        for name, value in (secret.get("data") or {}).items():
            (new / name).write_bytes(base64.b64decode(value))
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        (folder / "..next").symlink_to(new.name)
        (folder / "..next").rename(folder / "..data")

    async def _mounted(self, pod: Object) -> dict[str, str]:
        """Folders of the Secrets by where the container sees them; waits until there are all."""
        meta = pod["metadata"]
        secrets = {
            v["name"]: f"{meta['namespace']}/{v['secret']['secretName']}"
            for v in pod["spec"]["volumes"]
            if "secret" in v
        }
        async with self._claims_changed:
            await self._claims_changed.wait_for(
                lambda: all(name in self._secrets for name in secrets.values())
            )
        found = {}
        for mount in _node_of(pod)["volumeMounts"]:
            if mount["name"] in secrets:
                folder = self._folder / meta["uid"] / mount["name"]
                self._fill(folder, self._secrets[secrets[mount["name"]]])
                self._mounts.setdefault(meta["uid"], {})[folder] = secrets[mount["name"]]
                found[mount["mountPath"]] = str(folder)
        return found

    async def _pod(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            if (task := self._pods.pop(uid, None)) is not None:
                task.cancel()
            self._mounts.pop(uid, None)
        elif uid not in self._pods and _node_of(pod):
            self._pods[uid] = asyncio.create_task(self._live(pod))

    async def _live(self, pod: Object) -> None:
        try:
            await self._run_pod(pod)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("pod %s", pod["metadata"]["name"])

    async def _run_pod(self, pod: Object) -> None:
        meta = pod["metadata"]
        claim, mounts = await self._claim_of(pod), await self._mounted(pod)
        ip = str(ipaddress.IPv4Address(FIRST_ADDRESS + next(self._numbers)))
        self._addresses[
            f"{meta['name']}.{pod['spec'].get('subdomain', '')}.{meta['namespace']}.svc"
        ] = ip
        disk = self._disks.setdefault(claim, asyncio.Lock())
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        async with disk:
            node = Node(self._settings(pod, ip, self._folder / claim, mounts))
            try:
                await node.start()
                await self._report(path, pod, ip, ready=False)
                await self._probe(path, pod, ip, node)
            finally:
                await asyncio.shield(asyncio.create_task(node.stop()))

    async def _claim_of(self, pod: Object) -> str:
        """The UID of the pod's claim, as soon as there is one."""
        meta = pod["metadata"]
        name = next(
            v["persistentVolumeClaim"]["claimName"]
            for v in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in v
        )
        key = f"{meta['namespace']}/{name}"
        async with self._claims_changed:
            await self._claims_changed.wait_for(
                lambda: (
                    key in self._claims and "deletionTimestamp" not in self._claims[key]["metadata"]
                )
            )
            return str(self._claims[key]["metadata"]["uid"])

    def _settings(
        self, pod: Object, ip: str, disk: Path, mounts: dict[str, str]
    ) -> settings.Settings:
        environment: dict[str, str] = {}
        for variable in _node_of(pod)["env"]:
            if "valueFrom" in variable:
                value = (
                    pod["metadata"]["name"]
                    if variable["valueFrom"].get("fieldRef", {}).get("fieldPath") == "metadata.name"
                    else ""
                )
            else:
                value = re.sub(
                    r"\$\((\w+)\)", lambda m: environment[m[1]], variable.get("value", "")
                )
            for seen, folder in mounts.items():
                if value == seen or value.startswith(f"{seen}/"):
                    value = folder + value.removeprefix(seen)
            environment[variable["name"]] = value
        disk.mkdir(parents=True, exist_ok=True)
        return settings.load(["--data-dir", str(disk / "node"), "--bind", ip], environment)

    async def _probe(self, path: str, pod: Object, ip: str, node: Node) -> None:
        """Tells the API server whenever readiness changes; until the pod goes or its node ends."""
        known = False
        while not node.fatal.done():
            await asyncio.sleep(PROBE_S)
            ready = await self._ready(ip, self._anybody if node.tls is not None else None)
            if ready != known:
                await self._report(path, pod, ip, ready=ready)
                known = ready
        node.fatal.result()

    async def _ready(self, ip: str, context: ssl.SSLContext | None) -> bool:
        """A GET by hand: a session of an HTTP library for each pod and probe would be most of this
        process's work."""
        try:
            reader, writer = await asyncio.open_connection(ip, 8080, ssl=context)
        except OSError:
            return False
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(
                10
                # and not wait_for: that may lose the end of the pod when the answer comes in the
                # same moment
            ):
                return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    async def _report(self, path: str, pod: Object, ip: str, *, ready: bool) -> None:
        state = {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}}
        shown = {"imageID": "", "ready": ready, "restartCount": 0, "state": state}
        status = {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [
                {"type": kind, "status": "True" if ready else "False"}
                for kind in ("ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {"name": container["name"], "image": container["image"], **shown}
                for container in pod["spec"]["containers"]
            ],
        }
        await self._api.patch_status(path, status)


def _node_of(pod: Object) -> Object:
    """The container of ours, wherever others put theirs; empty where there is none."""
    return next((c for c in pod["spec"]["containers"] if c["name"] == "node"), {})


class Machine:
    """The process, for a test."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._command = [
            sys.executable,
            "-m",
            "tests.support.kubelet",
            str(kubeconfig),
            str(folder),
        ]
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        path = os.pathsep.join(str(p) for p in (ROOT, ROOT / "node_image", ROOT / "client"))
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, "PYTHONPATH": path},
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def tail(self, lines: int = 30) -> str:
        said = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([line for line in said if not line.endswith("the loop stalled")][-lines:])


async def _main(kubeconfig: Path, folder: Path) -> None:
    kubelet = asyncio.create_task(Kubelet(Api.of(kubeconfig), folder).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, kubelet.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await kubelet


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(_main(Path(sys.argv[1]), Path(sys.argv[2])))
