"""Rules, dashboard and PodMonitor of a CounterCluster: promtool judges the rules, each with a case
that fires and one that does not; every query names what the programs really export; every alert has
its page."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from countercluster_operator.model import Cache, Cluster, Monitoring, Spec
from countercluster_operator.resources import monitoring
from countercluster_operator.resources.registry import all_children, unwanted

from tests.support.unit.situations import made

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "docs" / "operating" / "alerts"
CLUSTER = Cluster(
    "clicks",
    "shop",
    "uid-1",
    1,
    Spec(monitoring=Monitoring(enabled=True, labels={"release": "prom"})),
    "node",
    "redis",
)
RULES: list[dict[str, Any]] = monitoring.rules(CLUSTER)["spec"]["groups"][0]["rules"]

Series = dict[str, str]
"""Metric with its own labels → values by the minute, in promtool's notation. `S` in the labels
stands for those of the cluster."""


def _ready(*values: str) -> Series:
    found = {f'counter_ready{{S,pod="clicks-{n}"}}': value for n, value in enumerate(values)}
    return {**found, 'counter_raft_members{S,voter="true",pod="clicks-0"}': "3x30"}


def _quantile(metric: str, labels: str, le: str) -> Series:
    """A hundred observations a minute, all of them in the bucket up to `le`."""
    slow = {
        f'{metric}_bucket{{S,{labels},le="{le}"}}': "0+100x30",
        f'{metric}_bucket{{S,{labels},le="+Inf"}}': "0+100x30",
    }
    return {
        f'{metric}_bucket{{S,{labels},le="0.001"}}': "0+0x30" if le != "0.001" else "0+100x30",
        **slow,
    }


# Alert → what makes it fire at minute 25, what does not though it comes near, and the labels that
# it adds.
CASES: dict[str, tuple[Series, Series, dict[str, str]]] = {
    "CounterClusterAbsent": ({'counter_ready{namespace="shop",countercluster="other"}': "1x30"},
    _ready("0x30"), {}),
    "CounterClusterNoLeader": (
        {'counter_raft_is_leader{S,pod="a"}': "0x30", 'counter_raft_is_leader{S,pod="b"}': "0x30"},
        {'counter_raft_is_leader{S,pod="a"}': "0x30", 'counter_raft_is_leader{S,pod="b"}': "1x30"},
        {},
    ),
    "CounterClusterQuorumAtRisk": (_ready("1x30", "1x30", "0x30"), _ready("1x30", "1x30", "1x30"),
    {}),
    "CounterClusterMemberNotReady": (_ready("1x30", "1x30", "0x30"), _ready("1x30", "1x30",
    "1x20 0x10"), {"pod": "clicks-2"}),
    "CounterClusterMemberLags": (
        {'counter_raft_peer_lag_entries{S,peer="clicks-1"}': "20000x30"},
        {'counter_raft_peer_lag_entries{S,peer="clicks-1"}': "20000x10 9000x20"},
        {"peer": "clicks-1"},
    ),
    "CounterClusterLeaderChanges": (
        {'counter_raft_leader_changes_total{S,pod="a"}': "0+1x30"},
        {'counter_raft_leader_changes_total{S,pod="a"}': "1x15 2x5 3x10"},
        {},
    ),
    "CounterClusterClocksDisagree": (
        {'counter_clocks_disagree{S,pod="a"}': "1x30"},
        {'counter_clocks_disagree{S,pod="a"}': "1x8 0x30"}, {},
    ),
    "CounterClusterDiskFull": ({'counter_disk_full{S,pod="a"}': "1x30"},
    {'counter_disk_full{S,pod="a"}': "0x30"}, {"pod": "a"}),
    "CounterClusterDiskFailed": ({'counter_disk_failed{S,pod="a"}': "1x30"},
    {'counter_disk_failed{S,pod="a"}': "0x30"}, {"pod": "a"}),
    "CounterClusterDiskSlow": (
        _quantile("counter_disk_job_seconds", 'pod="a"', "0.5"),
        _quantile("counter_disk_job_seconds", 'pod="a"', "0.05"), {"pod": "a"},
    ),
    "CounterClusterLoopLags": (
        _quantile("counter_loop_lag_seconds", 'pod="a"', "1.0"),
        _quantile("counter_loop_lag_seconds", 'pod="a"', "0.1"), {"pod": "a"},
    ),
    "CounterClusterErrors": (
        {'counter_command_errors_total{S,error="UNKNOWN"}': "0+5x30",
        "counter_commands_total{S}": "0+100x30"},
        {'counter_command_errors_total{S,error="ERR"}': "0+50x30",
        'counter_command_errors_total{S,error="LOADING"}': "0+1x30",
         "counter_commands_total{S}": "0+200x30"},
        {},
    ),
    "CounterClusterSlow": (
        _quantile("counter_command_duration_seconds", 'kind="write"', "2.5"),
        _quantile("counter_command_duration_seconds", 'kind="read"', "2.5"), {},
    ),
    "CounterClusterConnectionsNearLimit": (
        {'counter_clients_connected{S,pod="a"}': "900x30",
        'counter_clients_limit{S,pod="a"}': "1000x30"},
        {'counter_clients_connected{S,pod="a"}': "700x30",
        'counter_clients_limit{S,pod="a"}': "1000x30"},
        {"pod": "a"},
    ),
    "CounterClusterMemoryNearLimit": (
        {'counter_state_size_bytes{S,pod="a"}': "900x30",
        'counter_state_limit_bytes{S,pod="a"}': "1000x30"},
        {'counter_state_size_bytes{S,pod="a"}': "700x30",
        'counter_state_limit_bytes{S,pod="a"}': "1000x30"},
        {"pod": "a"},
    ),
    "CounterClusterUserNearLimit": (
        {'counter_user_size_bytes{S,pod="a",user="shop"}': "900x30",
        'counter_user_limit_bytes{S,pod="a",user="shop"}': "1000x30",
        'counter_user_keys{S,pod="a",user="shop"}': "1x30",
        'counter_user_keys_limit{S,pod="a",user="shop"}': "1000x30"},
        {'counter_user_keys{S,pod="a",user="shop"}': "700x30",
        'counter_user_keys_limit{S,pod="a",user="shop"}': "1000x30",
        'counter_user_producers_size_bytes{S,pod="a",user="shop"}': "700x30",
        'counter_user_size_bytes{S,pod="a",user="shop"}': "700x30",
        'counter_user_limit_bytes{S,pod="a",user="shop"}': "1000x30"},
        {"user": "shop"},
    ),
    "CounterClusterNoSnapshot": ({'counter_snapshot_refused{S,pod="a"}': "1x30"},
    {'counter_snapshot_refused{S,pod="a"}': "0x30"}, {"pod": "a"}),
    "CounterClusterValuesMayRepeat": (
        {
            'counter_history_info{S,pod="a",history="00000000000000aa",parent="00",'
            'reason="recover"}': "1x30"
        },
        {
            'counter_history_info{S,pod="a",history="00000000000000aa",parent="00",'
            'reason="upgrade"}': "1x30"
        },
        {"history": "00000000000000aa"},
    ),
    "CounterClusterCacheStale": (
        {'counter_cache_staleness_seconds{S,pod="a"}': "0+60x30"},
        {'counter_cache_staleness_seconds{S,pod="a"}': "2x30"}, {},
    ),
    "CounterClusterCertificateExpires": (
        {'counter_certificate_not_after_seconds{S,pod="a"}': "86400x30"},
        {'counter_certificate_not_after_seconds{S,pod="a"}': "1000000x30"},
        {"pod": "a"},
    ),
}  # fmt: skip


def _input(series: Series) -> list[dict[str, str]]:
    ours = 'namespace="shop",countercluster="clicks"'
    return [
        {"series": name.replace("{S", "{" + ours), "values": values}
        for name, values in series.items()
    ]


def _promtool(folder: Path, tests: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    (folder / "rules.yaml").write_text(yaml.safe_dump(monitoring.rules(CLUSTER)["spec"]))
    (folder / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": tests})
    )
    subprocess.run(
        [promtool, "check", "rules", "rules.yaml"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return subprocess.run(
        [promtool, "test", "rules", "tests.yaml"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_there_is_a_case_for_every_alert() -> None:
    assert CASES.keys() == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_fires_when_it_should_and_only_then(rule: dict[str, Any], tmp_path: Path) -> None:
    firing, quiet, labels = CASES[rule["alert"]]

    def case(series: Series, alerts: list[dict[str, Any]]) -> dict[str, Any]:
        check = {"eval_time": "25m", "alertname": rule["alert"], "exp_alerts": alerts}
        return {"interval": "1m", "input_series": _input(series), "alert_rule_test": [check]}

    done = _promtool(tmp_path, [case(quiet, [])])
    assert done.returncode == 0, f"fires though it should not\n{done.stdout}{done.stderr}"
    done = _promtool(tmp_path, [case(firing, [])])  # and here it must differ, by exactly this alert
    fired = re.findall(r"Labels:(\{[^}]*\})", done.stdout + done.stderr)
    assert fired, f"does not fire\n{done.stdout}{done.stderr}"
    assert dict(re.findall(r'(\w+)="([^"]*)"', fired[-1])) == {
        "alertname": rule["alert"],
        **labels,
        **rule["labels"],
    }


def test_every_query_names_what_is_exported() -> None:
    exported = runpy.run_path(str(ROOT / "generators" / "metrics_page.py"))["names"]()
    board = json.loads(next(iter(monitoring.dashboard(CLUSTER)["data"].values())))
    queries = [rule["expr"] for rule in RULES] + [
        target["expr"] for panel in board["panels"] for target in panel["targets"]
    ]
    assert len(queries) > 30
    for query in queries:
        used = set(
            re.findall(
                r"\b(?:counter|process|countercluster_operator)_\w+",
                re.sub(r"\{[^}]*\}|by \([^)]*\)", "", query),
            )
        )
        assert used, query
        assert used <= exported, f"{used - exported} is exported by nobody: {query}"
        assert 'namespace="shop",countercluster="clicks"' in query, (
            f"sees other clusters, too: {query}"
        )


@pytest.mark.parametrize("alert", monitoring.ALERTS, ids=lambda alert: str(alert.name))
def test_every_alert_has_a_page_that_says_what_it_means_and_what_to_do(
    alert: monitoring.Alert,
) -> None:
    text = (PAGES / f"{alert.name}.md").read_text()
    assert text.startswith(f"# {alert.name}\n")
    assert "## What it means" in text
    assert "## What to do" in text
    rule = next(rule for rule in RULES if rule["alert"] == alert.name)
    assert rule["annotations"]["runbook_url"].endswith(f"docs/operating/alerts/{alert.name}.md")


def test_no_page_is_left_of_an_alert_that_is_gone() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {alert.name for alert in monitoring.ALERTS}


def test_nothing_is_made_unless_asked_for_and_all_of_it_goes_again() -> None:
    off = Cluster("clicks", "shop", "uid-1", 1, Spec(), "node", "redis")
    named = {(m["kind"], m["metadata"]["name"]) for m in made(monitoring.CHILDREN, CLUSTER)}
    assert not named & {(m["kind"], m["metadata"]["name"]) for m in all_children(off, 3, 3)}
    assert named <= {(kind, name) for _, kind, name in unwanted(off, 3)}
    assert named <= {(m["kind"], m["metadata"]["name"]) for m in all_children(CLUSTER, 3, 3)}
    assert not named & {(kind, name) for _, kind, name in unwanted(CLUSTER, 3)}


def test_labels_for_prometheus_are_added_and_never_replace_our_own() -> None:
    cluster = Cluster(
        "c",
        "ns",
        "u",
        1,
        Spec(
            monitoring=Monitoring(
                enabled=True, labels={"release": "p", "app.kubernetes.io/instance": "x"}
            )
        ),
        "node",
        "redis",
    )
    for manifest in made(monitoring.CHILDREN, cluster):
        assert manifest["metadata"]["labels"]["release"] == "p"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "c"


def test_a_cluster_without_cache_or_asleep_is_not_complained_about() -> None:
    spec = Spec(monitoring=Monitoring(enabled=True), cache=Cache(enabled=False))
    without = monitoring.rules(Cluster("c", "ns", "u", 1, spec, "node", "redis"))["spec"]["groups"][
        0
    ]["rules"]
    assert {rule["alert"] for rule in RULES} - {rule["alert"] for rule in without} == {
        "CounterClusterCacheStale"
    }
    asleep = monitoring.rules(
        Cluster(
            "c",
            "ns",
            "u",
            1,
            Spec(monitoring=Monitoring(enabled=True), hibernated=True),
            "node",
            "redis",
        )
    )
    assert asleep["spec"]["groups"] == []


BOARD: dict[str, Any] = json.loads(next(iter(monitoring.dashboard(CLUSTER)["data"].values())))
UNITS = {"none", "ops", "s", "bytes", "d", "percentunit"}
"""Ids of Grafana's units that are in use; a wrong one is shown as plain text behind the number."""


def test_promtool_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    queries = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    rules = [{"record": f"panel:query:{n}", "expr": query} for n, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(
        yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]})
    )
    done = subprocess.run(
        [promtool, "check", "rules", "rules.yaml"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(queries)} rules found" in done.stdout


def test_the_dashboard_is_one_that_grafana_shows() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for p in panels
        for g in [p["gridPos"]]
        for x in range(g["x"], g["x"] + g["w"])
        for y in range(g["y"], g["y"] + g["h"])
    ]
    assert len(set(taken)) == len(taken), "panels lie over each other"
    assert max(x for x, _ in taken) < 24
    assert len(BOARD["uid"]) <= 40
    assert re.fullmatch(r"[\w-]+", BOARD["uid"])
    (variable,) = BOARD["templating"]["list"]
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"]["uid"] == "${" + variable["name"] + "}"
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_a_legend_names_labels_that_the_query_keeps() -> None:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            kept = re.search(r"by \(([^)]*)\)", target["expr"])
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                if kept is not None:
                    assert label in kept[1].replace(",", " ").split(), f"{panel['title']}: {label}"
                else:
                    assert "max(" not in target["expr"], f"{panel['title']}: {label} is gone"


@pytest.mark.parametrize(
    ("interval", "window"), [("5s", "60s"), ("30s", "120s"), ("1m", "240s"), ("2m", "480s")]
)
def test_a_rate_looks_back_over_several_scrapes(interval: str, window: str) -> None:
    spec = Spec(monitoring=Monitoring(enabled=True, interval=interval))
    board = json.loads(
        next(
            iter(
                monitoring.dashboard(Cluster("c", "ns", "u", 1, spec, "node", "redis"))[
                    "data"
                ].values()
            )
        )
    )
    windows = {
        w
        for p in board["panels"]
        for t in p["targets"]
        for w in re.findall(r"rate\([^)]*\[(\w+)\]", t["expr"])
    }
    assert windows == {window}


def test_a_history_that_was_acknowledged_alerts_no_more_and_its_words_break_no_query() -> None:
    def query(acknowledged: str) -> str:
        found = monitoring.rules(
            msgspec.structs.replace(CLUSTER, acknowledged_history=acknowledged)
        )["spec"]["groups"][0]["rules"]
        return str(
            next(rule["expr"] for rule in found if rule["alert"] == "CounterClusterValuesMayRepeat")
        )

    assert 'history!="00000000000000aa"' in query("00000000000000aa")
    assert 'history!="none"' in query("") == query('x"} or vector(1)')
