"""What the plugin shows, and what it strikes out of a report."""

from __future__ import annotations

import inspect
import io
import runpy
import threading
from pathlib import Path
from typing import Any

import pytest
from kubectl_counters import views
from kubectl_counters.__main__ import in_front
from kubectl_counters.kube import PORT_FORWARD, _words, quiet_port_forwards
from kubectl_counters.report import OUT, clean, clean_text
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import ws_client
from rich.console import Console, RenderableType

READY = {
    "type": "Ready",
    "status": "False",
    "reason": "Rolling",
    "message": "1 of 3 members is restarted",
}
CLUSTER = {
    "metadata": {"name": "clicks", "namespace": "shop"},
    "spec": {"replicas": 3, "cache": {"enabled": True, "replicas": 2}},
    "status": {
        "step": "restarting clicks-1, because its template is outdated",
        "conditions": [READY],
    },
}
PODS = [
    {"metadata": {"name": f"clicks-{n}"}, "spec": {"nodeName": f"worker-{n}"}, "status": {}}
    for n in range(3)
]


def _status(name: str, role: str, term: int, **more: Any) -> dict[str, Any]:
    members = [
        {"name": f"clicks-{n}", "matchIndex": 100 - 10 * n if role == "leader" else None}
        for n in range(3)
    ]
    found = {
        "name": name,
        "role": role,
        "term": term,
        "lastIndex": 100,
        "appliedIndex": 100,
        "ready": True,
        "reason": "",
    }
    found |= {"nodeId": "1f", "version": "0.1.0"}
    return {
        **found,
        "members": members,
        "cache": {"configured": True, "connected": 1, "publishedIndex": 97},
        **more,
    }


def text(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=False)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_lag_comes_from_the_leader_of_the_newest_term() -> None:
    statuses = {
        "clicks-0": _status("clicks-0", "leader", 7),
        "clicks-1": _status("clicks-1", "leader", 6, lastIndex=500),
    }
    found = views.summary(CLUSTER, PODS, {**statuses, "clicks-2": {"error": "refused"}})
    assert (found["leader"], found["term"]) == ("clicks-0", 7)
    assert [m["lagEntries"] for m in found["members"]] == [0, 10, 20]
    assert [m["role"] for m in found["members"]] == ["leader", "leader", "unreachable"]
    assert found["cache"]["lagEntries"] == 3


def test_the_table_says_what_is_wrong_and_what_is_done_about_it() -> None:
    statuses = {
        "clicks-0": _status("clicks-0", "leader", 7),
        "clicks-1": {"error": "clicks-1: refused"},
    }
    shown = text(views.status_view(views.summary(CLUSTER, PODS[:2], statuses)))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[:3] == [
        "shop/clicks not ready", "Rolling: 1 of 3 members is restarted", "the operator: "
            "restarting clicks-1, because its template is outdated",
    ]  # fmt: skip
    assert "clicks-0 leader yes 0 100 0.1.0 0 worker-0" in lines
    assert "clicks-1 unreachable no 10 ? 0 worker-1" in lines
    assert "clicks-1: clicks-1: refused" in lines
    assert "cache: 1 of 2 Redis reached, 3 entries behind" in lines


def test_without_a_leader_nothing_is_made_up() -> None:
    found = views.summary(CLUSTER, PODS, {})
    assert found["leader"] == ""
    assert {m["lagEntries"] for m in found["members"]} == {None}
    assert "? of 2 Redis reached, ? entries behind" in text(views.status_view(found))


def test_rates_of_a_node_that_was_started_again_are_never_negative() -> None:
    before, after = (
        {"counter_commands_total": 1000.0},
        {"counter_commands_total": 10.0, "counter_keys": 4.0},
    )
    assert views.rates(before, after, 2.0)["counter_commands_total"] == 0
    assert views.rates({}, after, 2.0)["counter_commands_total"] == 5
    assert views.rates({}, after, 2.0)["counter_keys"] == 4


def test_samples_are_added_up_over_their_labels() -> None:
    assert views.samples('# HELP a b\na{x="1 2"} 3\na{x="2"} 4.5\nb 1e3\n') == {"a": 7.5, "b": 1000}


@pytest.mark.parametrize(
    "line",
    [
        "redis://user:hunter2@host:6379/0", "connecting with password=hunter2 to x",
        '{"requirepass": "hunter2"}',
        "Authorization: Bearer hunter2hunter2",
        "AUTH default hunter2", "auth hunter2", "redis-server --requirepass hunter2 --port 1",
        "API_KEY: hunter2", "masterauth 'x' token='hunter2'",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----", "-----BEGIN "
            "PRIVATE KEY-----\nhunter2 and cut off",
        "eyJhbGciOi.eyJodW50ZXIy.hunter2",
    ],
)  # fmt: skip
def test_a_secret_in_a_line_is_struck_out(line: str) -> None:
    assert "hunter2" not in clean_text(line)
    assert OUT in clean_text(line)


def test_what_is_no_secret_stays() -> None:
    for line in (
        "snapshot taken index=5",
        "election won in term 7",
        '{"level": "info", "message": "cluster bootstrapped"}',
        "author unknown",
    ):
        assert clean_text(line) == line


def test_structures_lose_values_and_keep_names() -> None:
    found = clean(
        {
            "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "PORT", "value": "1"}],
            "args": ["--masterauth", "hunter2", "--port", "1"],
            "secretName": "clicks-client", "valueFrom": {"secretKeyRef": {"name": "clicks-client",
            "key": "password"}},
            "clientSecret": "hunter2", "managedFields": ["noise"],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"},
        }
    )  # fmt: skip
    assert "hunter2" not in str(found)
    assert found["env"][1]["value"] == "1"
    assert found["args"][2:] == ["--port", "1"]
    assert found["secretName"] == "clicks-client"
    assert found["valueFrom"]["secretKeyRef"]["name"] == "clicks-client"
    assert "managedFields" not in found


def test_the_reference_page_is_what_the_plugin_says() -> None:
    module: dict[str, Any] = runpy.run_path(
        str(Path(__file__).resolve().parents[3] / "generators" / "kubectl_page.py")
    )
    assert module["PAGE"].read_text() == module["rendered"](), (
        "run: python generators/kubectl_page.py"
    )


@pytest.mark.parametrize(
    ("tls", "login", "certificates", "line"),
    [
        (False, False, {}, "plain text: nothing is encrypted; nobody has to log in"),
        (True, True, {}, "certificates: not made yet"),
        (True, True, {"notAfter": "2027-02-21T00:00:00Z",
        "authorityNotAfter": "2036-11-21T00:00:00Z"},
         "certificates: the nodes' until 2027-02-21T00:00:00Z, the authority's until "
         "2036-11-21T00:00:00Z"),
        (True, False, {"notAfter": "2027-02-21T00:00:00Z", "phase": "publish"},
         "certificates: the nodes' until 2027-02-21T00:00:00Z; a new authority comes: publish; "
         "nobody has to log in"),
    ],
)  # fmt: skip
def test_status_tells_what_is_encrypted_and_until_when(
    tls: bool, login: bool, certificates: dict[str, str], line: str
) -> None:
    spec = {**CLUSTER["spec"], "tls": {"enabled": tls}, "auth": {"enabled": login}}  # type: ignore[dict-item]
    cluster = {
        **CLUSTER,
        "spec": spec,
        "status": {**CLUSTER["status"], "certificates": certificates},
    }  # type: ignore[dict-item]
    assert line in text(views.status_view(views.summary(cluster, PODS, {}))).splitlines()


def test_the_end_of_a_port_forward_is_not_shown_and_other_trouble_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    quiet_port_forwards()

    def fails(error: Exception, name: str) -> str:
        def run() -> None:
            raise error

        thread = threading.Thread(target=run, name=name)
        thread.start()
        thread.join()
        return capsys.readouterr().err

    assert fails(ConnectionResetError(), f"{PORT_FORWARD}: 8080") == ""
    assert "ValueError" in fails(ValueError(), f"{PORT_FORWARD}: 8080")
    assert "ConnectionResetError" in fails(ConnectionResetError(), "another")


def test_the_library_names_its_threads_as_we_think() -> None:
    assert f'"{PORT_FORWARD}: %s"' in inspect.getsource(ws_client)


def narrow(what: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(what)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_tables_fit_80_columns_one_line_for_a_member() -> None:
    """Whatever the machine is called, and however much was counted."""
    pods = [
        {**pod, "spec": {"nodeName": f"gke-production-pool-{n}-0a1b2c3d-xyz.internal"}}
        for n, pod in enumerate(PODS)
    ]
    statuses = {
        f"clicks-{n}": _status(f"clicks-{n}", "follower", 7, appliedIndex=1_234_567_890)
        for n in range(2)
    }
    found = views.summary(CLUSTER, pods, {**statuses, "clicks-2": {"error": "refused"}})
    lines = narrow(views.members_view(found))
    assert len(lines) == 4
    assert all(len(line) <= 80 for line in lines)
    assert "gke-" in lines[1]
    page = {
        "counter_commands_total": 123456.7,
        "counter_command_errors_total": 0.1,
        "process_cpu_seconds_total": 1.0,
    }
    page |= {
        "counter_clients_connected": 10_000,
        "counter_keys": 2_800_000,
        "process_resident_memory_bytes": 3 << 30,
    }
    lines = narrow(views.top_view(found, {"clicks-0": page}))
    assert len(lines) == 5
    assert "2800000" in lines[2]


def test_a_cluster_that_serves_while_it_is_rolled_is_not_called_not_ready() -> None:
    serving = {
        "type": "Available",
        "status": "True",
        "reason": "Serving",
        "message": "2 nodes serve",
    }
    cluster = {**CLUSTER, "status": {"conditions": [READY, serving]}}
    shown = text(views.status_view(views.summary(cluster, PODS, {})))
    assert "serving, not all as it should be" in shown
    assert "not ready" not in shown


def test_the_reason_why_a_pod_does_not_run_is_said_when_its_node_does_not_answer() -> None:
    waiting = {
        "containerStatuses": [
            {"name": "node", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
        ]
    }
    found = views.summary(
        CLUSTER, [{**PODS[0], "status": waiting}], {"clicks-0": {"error": "no connection"}}
    )
    assert "clicks-0: ImagePullBackOff" in text(views.status_view(found))


def test_a_cluster_that_no_operator_has_observed_is_not_called_at_rest() -> None:
    shown = text(views.status_view(views.summary({**CLUSTER, "status": {}}, [], {})))
    assert "the operator has said nothing yet" in shown
    assert "the operator: it has not read it yet" in shown
    assert "at rest" not in shown


def test_what_the_operator_waits_for_is_said_once() -> None:
    """Of a refused Service the whole text stood there twice."""
    refused = "the API server refuses Service clicks: exceeded quota: tight"
    status = {
        "step": refused,
        "conditions": [{**READY, "reason": "ChildRefused", "message": refused}],
    }
    statuses = {"clicks-0": _status("clicks-0", "leader", 7)}
    shown = text(views.status_view(views.summary({**CLUSTER, "status": status}, PODS, statuses)))
    assert shown.count(refused) == 1


def test_a_status_of_an_earlier_spec_is_not_taken_for_the_newest() -> None:
    """With no operator that runs, a cluster that was to have one member was `Ready`, with five, and
    the operator at rest."""
    good = {
        "type": "Ready",
        "status": "True",
        "reason": "AllMembersReady",
        "message": "5 of 5 members serve",
    }
    serving = {"type": "Available", "status": "True", "reason": "Serving", "message": ""}
    for known, ready in ((2, False), (4, True)):
        status = {"observedGeneration": known, "conditions": [good, serving]}
        cluster = {
            **CLUSTER,
            "metadata": {**CLUSTER["metadata"], "generation": 4},
            "status": status,
        }
        found = views.summary(cluster, PODS, {"clicks-0": _status("clicks-0", "leader", 7)})
        assert found["ready"] == ready
        shown = text(views.status_view(found))
        assert ("not read the newest spec yet (generation 4, it knows 2)" in shown) == (not ready)
        assert ("the operator: at rest" in shown) == ready
        assert ("serving by an earlier spec" in shown) == (not ready)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("status stock -n shop", "-n shop status stock"),
        ("-n shop get stock a", "-n shop get stock a"),
        (
            "status --context=far stock --kubeconfig k -o json",
            "--context=far --kubeconfig k status stock -o json",
        ),
        ("incr stock a --by -5 --namespace shop", "--namespace shop incr stock a --by -5"),
        ("get -n shop stock -- -n --context=x", "-n shop get stock -- -n --context=x"),
        ("--version", "--version"),
    ],
)
def test_global_options_may_stand_anywhere(words: str, wanted: str) -> None:
    """`kubectl -n shop counters …` is refused by kubectl; people write it behind."""
    assert in_front(words.split()) == wanted.split()


def test_a_refused_port_forward_is_shown_in_the_words_of_the_api_server() -> None:
    said = (
        '{"kind":"Status","status":"Failure","message":"error dialing backend: dial tcp '
        '192.0.2.5:10250: i/o timeout","code":500}'
    )
    reason = (
        f"Handshake status 500 Internal Server Error -+-+- {{'audit-id': '98ca'}} -+-+- {said}\n"
    )
    assert (
        _words(ApiException(status=0, reason=reason))
        == "error dialing backend: dial tcp 192.0.2.5:10250: i/o timeout"
    )
    assert _words(ApiException(status=0, reason='no {"words')) == 'no {"words'
    refused = ApiException(status=403, reason="Forbidden")
    refused.body = '{"message": "pods is forbidden"}'
    assert _words(refused) == "pods is forbidden"
    refused.body = "a page"
    assert _words(refused) == "Forbidden"
