"""`kubectl counters` against a real API server, a real operator and real nodes. Only the last step
to a node is another one: there is no kubelet here that could forward a port, so connections go to
the pod's address."""

from __future__ import annotations

import io
import json
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from kubectl_counters.__main__ import app
from kubectl_counters.kube import Kube, Object, Trouble
from kubectl_counters.session import Session
from typer.testing import CliRunner, Result

from tests.apiserver.world import World, world

pytestmark = pytest.mark.timeout(600)
PLANTED = (
    "hunter2-in-annotation",
    "hunter2-in-environment",
    "hunter2-in-an-event",
    "hunter2-in-a-secret",
    "hunter2-in-a-url",
)


def dial(pod: Object, port: int) -> socket.socket:
    try:
        return socket.create_connection((pod["status"]["podIP"], port), timeout=15)
    except (OSError, KeyError) as error:
        raise Trouble(str(error)) from None


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        world(tmp_path_factory.mktemp("kubectl")) as found,
        found.operator(SPREAD_SECONDS="2").kept(),
    ):
        found.server.namespace("shop")
        found.cluster("shop", "clicks", tls={}, auth={})  # secured, as it is by default
        found.cluster("shop", "plain", replicas=2)
        found.wait_ready("shop", "clicks")
        found.wait_ready("shop", "plain")
        yield found


@pytest.fixture(scope="module")
def session(here: World) -> Session:
    return Session(Kube.connect(str(here.server.kubeconfig), namespace="shop"), dial)


def run(session: Session, *words: str, code: int = 0) -> str:
    done: Result = CliRunner().invoke(app, list(words), obj=session)
    if isinstance(done.exception, Trouble):
        raise done.exception
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.output


def found(session: Session) -> Any:
    return json.loads(run(session, "status", "clicks", "-o", "json"))


def test_status_shows_who_leads_and_that_all_is_well(session: Session, here: World) -> None:
    text = run(session, "status", "clicks")
    assert "shop/clicks  Ready" in text
    assert "the operator: at rest" in text
    plain = found(session)
    assert plain["leader"] == here.get("shop", "clicks")["status"]["leader"]
    assert sorted(m["role"] for m in plain["members"]) == ["follower", "follower", "leader"]
    assert all(
        m["ready"] and m["version"] and m["lagEntries"] is not None for m in plain["members"]
    )
    assert "certificates: the nodes' until 20" in text
    assert plain["certificates"]["notAfter"] < plain["certificates"]["authorityNotAfter"]
    assert (
        yaml.safe_load(run(session, "status", "clicks", "-o", "yaml"))["leader"] == plain["leader"]
    )


def test_counters_are_counted_read_and_found(session: Session) -> None:
    assert run(session, "incr", "clicks", "visits").strip() == "1"
    assert run(session, "incr", "clicks", "visits", "--by", "41").strip() == "42"
    assert run(session, "get", "clicks", "visits", "nobody") == "visits 42\nnobody (none)\n"
    assert json.loads(run(session, "get", "clicks", "visits", "-o", "json")) == {"visits": 42}
    assert run(session, "scan", "clicks", "vis*") == "visits\n"
    assert "visits" not in run(session, "scan", "clicks", "x*")


def test_what_a_node_refuses_is_shown_in_its_own_words(session: Session) -> None:
    with pytest.raises(Trouble, match=r"out of range|overflow"):
        run(session, "incr", "clicks", "visits", "--by", str(2**63 - 1))


def test_top_shows_every_member(session: Session) -> None:
    text = run(session, "top", "clicks", "--once", "--interval", "0.5")
    assert all(f"clicks-{n}" in text for n in range(3))
    assert "MiB" in text


def test_leadership_goes_where_it_is_sent(session: Session, here: World) -> None:
    plain = found(session)
    target = next(m["name"] for m in plain["members"] if m["role"] == "follower")
    run(session, "transfer", "clicks", target)
    here.wait("the status names it", lambda: found(session)["leader"] == target)
    with pytest.raises(Trouble, match="no member"):
        run(session, "transfer", "clicks", "clicks-9")


def test_an_audit_of_a_secured_cluster_finds_nothing_grave(session: Session) -> None:
    """Its ports are tried for real: old versions, weak suites, questions without a login or a
    certificate."""
    found = json.loads(run(session, "audit", "clicks", "-o", "json"))
    assert not [f for f in found if f["severity"] in ("high", "medium")]
    ids = {f["id"] for f in found}
    assert ids >= {
        "default-user",
        "clients-any",
        "metrics-open",
        "image-by-tag",
        "namespace-pod-security",
        "restrictions-unset",
    }
    assert not [f for f in found if f["severity"] == "unknown"], "an administrator sees everything"
    text = run(session, "audit", "clicks")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "default-user" in text


def test_an_audit_of_an_open_cluster_says_so_and_ends_with_1(session: Session) -> None:
    ids = {
        f["id"]: f["severity"]
        for f in json.loads(run(session, "audit", "plain", "-o", "json", code=1))
    }
    assert (ids["tls-off"], ids["login-off"]) == ("high", "high")


def test_an_audit_by_somebody_with_few_rights_says_what_it_did_not_see(here: World) -> None:
    here.server.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "looker", "namespace": "shop"},
        }
    ).ok()
    rules = [
        {"apiGroups": ["countercluster.io"], "resources": ["counterclusters"], "verbs": ["get"]}
    ]
    group = "rbac.authorization.k8s.io"
    meta = {"name": "looker", "namespace": "shop"}
    here.server.apply(
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules}
    ).ok()
    reference = {"apiGroup": group, "kind": "Role", "name": "looker"}
    subjects = [{"kind": "ServiceAccount", **meta}]
    here.server.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": reference,
            "subjects": subjects,
        }
    ).ok()
    path = here.server.write_kubeconfig(here.folder / "looker", here.server.token("shop", "looker"))
    session = Session(Kube.connect(str(path), namespace="shop"), dial)
    found = {
        f["id"]: f["severity"] for f in json.loads(run(session, "audit", "clicks", "-o", "json"))
    }
    assert {id for id, severity in found.items() if severity == "unknown"} >= {
        "service-exposed",
        "network-policy",
        "pod-security",
        "access",
    }


def test_a_cluster_in_plain_text_is_counted_in_and_administered(session: Session) -> None:
    assert run(session, "incr", "plain", "visits").strip() == "1"
    assert "plain text: nothing is encrypted" in run(session, "status", "plain")
    before = json.loads(run(session, "status", "plain", "-o", "json"))["leader"]
    run(session, "transfer", "plain")
    assert json.loads(run(session, "status", "plain", "-o", "json"))["leader"] not in ("", before)


def test_every_command_answers_in_json(session: Session, tmp_path: Path) -> None:
    def answer(*words: str) -> Any:
        return json.loads(run(session, *words, "-o", "json"))

    assert answer("incr", "plain", "json", "--by", "5") == {"json": 5}
    assert answer("scan", "plain", "js*") == ["json"]
    assert answer("pause", "plain") == {"name": "plain", "paused": True}
    assert answer("resume", "plain") == {"name": "plain", "paused": False}
    assert answer("transfer", "plain")["leader"] in ("plain-0", "plain-1")
    assert answer("top", "plain", "--once", "--interval", "0.5").keys() == {"plain-0", "plain-1"}
    file = tmp_path / "report"
    assert answer("report", "plain", "-f", str(file)) == {
        "file": str(file),
        "bytes": file.stat().st_size,
    }
    named = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert all("-o" in {o for p in command.params for o in p.opts} for command in named.values())


def test_who_may_only_look_sees_the_state_and_reads_what_is_missing(
    here: World, tmp_path: Path
) -> None:
    """The rights that docs/reference/kubectl.md names for looking: no Secrets among them."""
    group = "rbac.authorization.k8s.io"
    meta = {"name": "watcher", "namespace": "shop"}
    rules = [
        {
            "apiGroups": ["countercluster.io"],
            "resources": ["counterclusters"],
            "verbs": ["get", "list"],
        },
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["list"]},
    ]
    here.server.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}).ok()
    here.server.apply(
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules}
    ).ok()
    binding = {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "watcher"},
        "subjects": [{"kind": "ServiceAccount", **meta}],
    }
    here.server.apply(
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": meta, **binding}
    ).ok()
    kubeconfig = here.server.write_kubeconfig(
        tmp_path / "watcher", here.server.token("shop", "watcher")
    )
    watcher = Session(Kube.connect(str(kubeconfig), namespace="shop"), dial)
    assert "shop/clicks  Ready" in run(watcher, "status", "clicks")
    assert "clicks-2" in run(watcher, "top", "clicks", "--once", "--interval", "0.5")
    with pytest.raises(
        Trouble,
        match=r'Secret clicks-client in namespace shop: .*watcher" cannot get resource "secrets"',
    ):
        run(watcher, "get", "clicks", "visits")
    with pytest.raises(Trouble, match="clicks-private"):
        run(watcher, "transfer", "clicks")
    with pytest.raises(Trouble, match='cannot patch resource "counterclusters"'):
        run(watcher, "pause", "clicks")


def test_a_new_password_is_in_use_at_once(session: Session, here: World) -> None:
    here.edit("shop", "clicks", auth={"rotatePassword": "1"})
    here.wait(
        "the operator has a new password",
        lambda: here.get("shop", "clicks")["status"].get("rotatedPassword") == "1",
    )
    fresh = Session(session.kube, dial)
    before = int(run(session, "get", "clicks", "visits").split()[1])
    assert run(fresh, "incr", "clicks", "visits").strip() == str(before + 1)


def test_paused_the_operator_changes_nothing_and_resumed_it_goes_on(
    session: Session, here: World
) -> None:
    run(session, "pause", "clicks")
    here.wait(
        "the operator says that it is paused",
        lambda: here.condition("shop", "clicks", "ReconcilePaused").get("status") == "True",
    )
    assert found(session)["paused"]
    assert "paused" in run(session, "status", "clicks")
    run(session, "resume", "clicks")
    here.wait(
        "it goes on",
        lambda: here.condition("shop", "clicks", "ReconcilePaused").get("status") != "True",
    )


def test_a_cluster_that_is_not_there_is_named(session: Session) -> None:
    with pytest.raises(
        Trouble, match=r'CounterCluster absent in namespace shop: .*"absent" not found'
    ):
        run(session, "status", "absent")


def test_a_report_has_what_helps_and_none_of_the_secrets_that_were_planted(
    session: Session, here: World, tmp_path: Path
) -> None:
    _plant_secrets(here)
    run(session, "incr", "clicks", "customer-4711")

    file = tmp_path / "out.tar.gz"
    run(session, "report", "clicks", "-f", str(file))
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as tar:
        parts = {
            m.name.partition("/")[2]: tar.extractfile(m).read().decode() for m in tar.getmembers()
        }  # type: ignore[union-attr]
    assert {
        "countercluster.yaml",
        "status.json",
        "events.yaml",
        "pods.yaml",
        "statefulsets.yaml",
        "nodes/clicks-0/metrics.txt",
    } <= parts.keys()
    assert "Planted" in parts["events.yaml"]
    assert "REDIS_PASSWORD" in parts["pods.yaml"], "it is the value that is removed"
    assert json.loads(parts["nodes/clicks-0/status.json"])["name"] == "clicks-0"
    assert "counter_raft_term" in parts["nodes/clicks-0/metrics.txt"]
    everything = "\n".join(parts.values())
    for planted in (*PLANTED, "customer-4711", *_own_secrets(session)):
        assert planted not in everything
    token = here.server.kubeconfig.read_text().partition("token: ")[2].split()[0].strip('"')
    assert token not in everything


def _plant_secrets(here: World) -> None:
    """One in each place that a report could take it from."""
    meta = {
        "name": "clicks-planted",
        "namespace": "shop",
        "labels": {"app.kubernetes.io/instance": "clicks"},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
    here.server.apply({**secret, "stringData": {"password": PLANTED[3]}}).ok()
    annotations = {"team/api-token": PLANTED[0]}
    here.server.merge(here.path("shop", "clicks"), {"metadata": {"annotations": annotations}}).ok()
    here.server.apply(_pod_with_secrets()).ok()
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "clicks-e", "namespace": "shop"},
        "message": f"requirepass={PLANTED[2]}",
        "involvedObject": {"kind": "Pod", "name": "clicks-cache-x", "namespace": "shop"},
        "reason": "Planted",
        "type": "Warning",
    }
    here.server.apply(event).ok()


def _pod_with_secrets() -> Object:
    container = {
        "name": "redis",
        "image": "redis",
        "env": [{"name": "REDIS_PASSWORD", "value": PLANTED[1]}],
        "args": ["--uri", f"rediss://app:{PLANTED[4]}@clicks:6379"],
    }
    labels = {
        "app.kubernetes.io/instance": "clicks",
        "app.kubernetes.io/component": "cache",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "clicks-cache-x", "namespace": "shop", "labels": labels},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }


def _own_secrets(session: Session) -> Iterator[str]:
    """Keys and passwords that the operator made."""
    for name in ("clicks-client", "clicks-private"):
        for key, value in session.kube.secret(name).items():
            if key == "previous" or (
                key.endswith((".key", "password")) and key != "rotated-password"
            ):
                yield value.decode()


def test_restart_replaces_every_pod(session: Session, here: World) -> None:
    before = {p["metadata"]["uid"] for p in session.kube.pods("clicks")}
    run(session, "restart", "clicks")
    here.wait(
        "every pod is another one",
        lambda: not before & {p["metadata"]["uid"] for p in session.kube.pods("clicks")},
        120,
    )
    here.wait_ready("shop", "clicks", 120)
    assert run(session, "get", "clicks", "visits") == "visits 43\n"
