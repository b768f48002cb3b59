"""Gathers the facts of `kubectl counters audit`, and shows what checks.py makes of them. It only
looks.

1. Secrets are never read. Objects are listed with the rights of whoever runs it; what cannot be had
   is a fact as well.
2. Ports are tried through the API server's port-forward, as a stranger: handshakes with old
   versions and weak suites, and one harmless question without a login. A handshake of one's own
   OpenSSL that cannot offer something proves nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rich.table import Table
from rich.text import Text

from kubectl_counters.access import Access
from kubectl_counters.checks import audit
from kubectl_counters.findings import Facts, Finding, Object, Probe, Unreached
from kubectl_counters.kube import ADMIN, HTTP, RESP, Kube, Trouble

PEER = 7000
RBAC = "/apis/rbac.authorization.k8s.io/v1"
OPERATORS = "app.kubernetes.io/name=countercluster-operator"
SECRETS = ("private", "nodes", "users", "cache", "client")
FAILING = ("high", "medium")
WEAK = (
    "ALL:!aNULL:!eNULL:!ECDHE+AESGCM:!ECDHE+CHACHA20:!ECDHE+AESCCM:"
    "!DHE+AESGCM:!DHE+CHACHA20:!DHE+AESCCM:@SECLEVEL=0"
)
"""Of TLS 1.2: without forward secrecy, or in CBC mode."""
QUESTIONS = {
    "resp": b"*1\r\n$6\r\nDBSIZE\r\n",
    "redis": b"*1\r\n$6\r\nDBSIZE\r\n",
    "admin": b"*1\r\n$11\r\nRAFT.STATUS\r\n",
}
"""What nobody may ask without a login, or a certificate; it changes nothing."""

Dial = Callable[[Object, int], socket.socket]
T = TypeVar("T")


def found(kube: Kube, dial: Dial, name: str) -> list[Finding]:
    """Raises Trouble when there is no such cluster, or it may not be read."""
    return audit(gather(kube, dial, name))


def gather(kube: Kube, dial: Dial, name: str) -> Facts:
    cluster = kube.cluster(name)
    pods = _had(lambda: kube.listed("/api/v1/namespaces/{}/pods", name))
    here = f"namespaces/{kube.namespace}"
    probes, unreached = _tried(dial, pods or [])
    return Facts(
        cluster=cluster,
        now=datetime.datetime.now(datetime.UTC),
        pods=pods,
        services=_items(kube, f"/api/v1/{here}/services"),
        policies=_items(kube, f"/apis/networking.k8s.io/v1/{here}/networkpolicies"),
        namespace=_had(lambda: kube.read(f"/api/v1/{here}")),
        operators=_items(kube, "/apis/apps/v1/deployments", OPERATORS),
        admission=_items(kube, "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"),
        access=_access(kube, name),
        probes=probes,
        unreached=unreached,
    )


def _had(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except Trouble:
        return None


def _items(kube: Kube, path: str, labels: str = "") -> list[Object] | None:
    read = _had(lambda: kube.read(path, labels))
    return None if read is None else list(read["items"])


def _access(kube: Kube, name: str) -> Access | None:
    here = f"{RBAC}/namespaces/{kube.namespace}"
    paths = (
        f"{here}/roles",
        f"{here}/rolebindings",
        f"{RBAC}/clusterroles",
        f"{RBAC}/clusterrolebindings",
    )
    roles, bindings, wide, wide_bindings = (_items(kube, path) for path in paths)
    if roles is None or bindings is None or wide is None or wide_bindings is None:
        return None
    return Access(
        kube.namespace,
        roles,
        bindings,
        wide,
        wide_bindings,
        tuple(f"{name}-{part}" for part in SECRETS),
    )


# --- ports ----------------------------------------------------------------------------------------


def _tried(dial: Dial, pods: list[Object]) -> tuple[tuple[Probe, ...], tuple[Unreached, ...]]:
    """The ports of every pod that runs, all at once."""
    todo = []
    for pod in pods:
        if (pod.get("status") or {}).get("phase", "Running") == "Running":
            redis = pod["metadata"]["labels"].get("app.kubernetes.io/component") == "cache"
            ports = (
                {"redis": RESP}
                if redis
                else {"resp": RESP, "peer": PEER, "admin": ADMIN, "http": HTTP}
            )
            todo += [(pod, port, number) for port, number in ports.items()]
    with ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(lambda one: _probe(dial, *one), todo))
    return tuple(r for r in results if isinstance(r, Probe)), tuple(
        r for r in results if isinstance(r, Unreached)
    )


def _probe(dial: Dial, pod: Object, port: str, number: int) -> Probe | Unreached:
    name = str(pod["metadata"]["name"])
    try:
        dial(pod, number).close()
    except Trouble as error:
        return Unreached(name, port, str(error))
    modern = _context(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    question = QUESTIONS.get(port)
    with _shaken(dial, pod, number, modern) as connection:
        secured = connection is not None
        answered = connection is not None and question is not None and _obeys(connection, question)
    if not secured:
        plain = _speaks_plainly(dial, pod, number, question or b"GET /livez HTTP/1.0\r\n\r\n")
        return Probe(name, port, plain=plain, answered=plain and question is not None)
    return dataclasses.replace(
        Probe(name, port, answered=answered),
        old=_agreed(
            dial,
            pod,
            number,
            _context(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        ),
        weak=_agreed(
            dial, pod, number, _context(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, WEAK)
        ),
    )


def _context(
    least: ssl.TLSVersion, most: ssl.TLSVersion, ciphers: str = ""
) -> ssl.SSLContext | None:
    """None where the OpenSSL of this machine cannot offer that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # a stranger knows no authority
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = least, most
        if ciphers:
            context.set_ciphers(ciphers)
    except (ssl.SSLError, ValueError):
        return None
    return context


@contextlib.contextmanager
def _shaken(
    dial: Dial, pod: Object, number: int, context: ssl.SSLContext | None
) -> Iterator[ssl.SSLSocket | None]:
    """None when there is no common ground."""
    connection: ssl.SSLSocket | None = None
    if context is not None:
        with contextlib.suppress(OSError, Trouble, ValueError):
            connection = context.wrap_socket(dial(pod, number))
    try:
        yield connection
    finally:
        if connection is not None:
            connection.close()


def _agreed(dial: Dial, pod: Object, number: int, context: ssl.SSLContext | None) -> str:
    with _shaken(dial, pod, number, context) as connection:
        suite = connection.cipher() if connection is not None else None
        return "" if connection is None or suite is None else f"{connection.version()} {suite[0]}"


def _obeys(connection: socket.socket, question: bytes) -> bool:
    """An answer that is no error."""
    try:
        connection.sendall(question)
        return connection.recv(64)[:1] in (b":", b"$", b"+", b"%", b"*")
    except OSError:
        return False


def _speaks_plainly(dial: Dial, pod: Object, number: int, question: bytes) -> bool:
    try:
        with contextlib.closing(dial(pod, number)) as connection:
            connection.sendall(question)
            return connection.recv(64)[:1] in (b":", b"$", b"+", b"%", b"*", b"-", b"H")
    except (OSError, Trouble):
        return False


# --- what is shown --------------------------------------------------------------------------------

STYLES = {"high": "bold red", "medium": "yellow", "unknown": "dim"}


def code(findings: list[Finding]) -> int:
    """Of the process: 1 where something is open that should not be."""
    return int(any(finding.severity in FAILING for finding in findings))


def plain(findings: list[Finding]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(finding) for finding in findings]


def table(findings: list[Finding]) -> Table:
    """In 80 columns: the id names a paragraph of docs/operating/audit.md."""
    shown = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 1, 0))
    shown.add_column("SEVERITY", no_wrap=True)
    shown.add_column("ID", no_wrap=True)
    shown.add_column("WHAT IS OPEN, TO WHOM, WHY, AND WHAT TO DO", overflow="fold")
    for one in findings:
        to = f" to {one.to}" if one.to else ""
        shown.add_row(
            Text(one.severity, style=STYLES.get(one.severity, "")),
            one.id,
            Text(f"{one.open}{to}: {one.why}. {one.remedy}."),
        )
    return shown
