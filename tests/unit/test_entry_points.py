"""Every program of this repository explains itself, and refuses an option that it does not know
before it does anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import counter_node
import countercluster
import countercluster_operator
import pytest
from counter_node.ports import free_ports
from counter_node.settings import HELP
from countercluster_operator.run.settings import VARIABLES, SettingsError, load

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(620)

PRODUCTS = (
    "counter_node", "counter_node.archive", "counter_node.devcluster", "counter_node.wal",
    "countercluster_operator", "countercluster.load", "kubectl_counters",
)  # fmt: skip
"""What is installed; these know their version."""
TOOLS = (
    "benchmarks", "benchmarks.cache_staleness", "benchmarks.container", "benchmarks.floods",
    "benchmarks.held", "benchmarks.large",
    "benchmarks.pauses", "benchmarks.slices", "benchmarks.stages",
    "benchmarks.tls_cost", "benchmarks.weights", "generators/commands_page.py",
    "tests.clients.stock.build", "tests.faults", "tests.faults.measure", "tests.flaky",
    "tests.fuzz", "tests.mutations", "tests.redis_suite",
    "tests.simulation", "tests.support.entries", "tests.support.unit.lua_torments",
    "generators/unasync.py", "generators/crd_page.py", "generators/house.py",
    "generators/kubectl_page.py",
    "generators/metrics_page.py", "generators/pictures.py", "examples/demo.py",
    "examples/deploy.py", "examples/embedded_node.py", "examples/redis_session.py", "kind/local.py",
    "kind.packaging.scan", "kind.release",
    "generators/manifests.py", "node_image/compile.py",
)  # fmt: skip
PARTS_OF_TESTS = {
    "tests/clients/stock/redis_cli.py", "tests/clients/stock/redis_py.py",
    "tests/clients/stock/redis_py_slow.py",
    "tests/mutations/search.py", "tests/support/kubelet.py",
}  # fmt: skip
"""Started by the tests and benchmarks alone, with words of their own."""
REST = {
    "counter_node.archive": ["list", "--archive", "file:///nowhere"],
    "counter_node.wal": ["inspect", "."],
    "countercluster.load": ["--url", "redis://127.0.0.1:1"],
    "kind/local.py": ["doctor"],
    "tests.redis_suite": ["x"],
}
"""What these need too, before they read options that they do not know."""

CASES = [
    *([entry, "--help"] for entry in (*PRODUCTS, *TOOLS)),
    *([entry, "--version"] for entry in PRODUCTS),
    *([entry, *REST.get(entry, []), "--no-such-option"] for entry in (*PRODUCTS, *TOOLS)),
]
Answers = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def answers() -> Answers:
    """Of each entry to its last word."""
    path = os.pathsep.join(str(ROOT / room) for room in ("node_image", "operator", "client", "."))
    environment = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"} | {
        "PYTHONPATH": path,
        "COLUMNS": "100",
    }
    command = [sys.executable, "-m", "tests.support.entries"]
    done = subprocess.run(
        command,
        input=json.dumps(CASES),
        capture_output=True,
        text=True,
        timeout=600,
        cwd=ROOT,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        (case[0], case[-1]): answer
        for case, answer in zip(CASES, json.loads(done.stdout), strict=True)
    }


@pytest.mark.parametrize("entry", [*PRODUCTS, *TOOLS])
def test_help_is_given_and_nothing_else_is_done(answers: Answers, entry: str) -> None:
    answer = answers[entry, "--help"]
    assert (answer["code"], answer["err"]) == (0, "")
    assert "usage:" in answer["out"].lower()


@pytest.mark.parametrize("entry", [*PRODUCTS, *TOOLS])
def test_an_option_that_it_does_not_know_is_refused_by_name_before_anything_is_done(
    answers: Answers, entry: str
) -> None:
    answer = answers[entry, "--no-such-option"]
    assert answer["code"] == 2, answer
    assert "--no-such-option" in answer["err"]
    assert "Traceback" not in answer["err"]
    assert answer["out"] == ""


@pytest.mark.parametrize("entry", PRODUCTS)
def test_what_is_installed_knows_its_version(answers: Answers, entry: str) -> None:
    answer = answers[entry, "--version"]
    assert (answer["code"], answer["err"]) == (0, "")
    assert answer["out"].split()[-1] == countercluster.__version__


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--dir", "/proc/nope"], 2, "devcluster: --dir: "),
        (["--", "--segment-bytes", "5"], 1, "cannot start: counter_node: COUNTER_SEGMENT_BYTES"),
        (["--", "--no-such-option"], 1, "cannot start: counter_node: error: unrecognized"),
    ],
)
def test_a_devcluster_whose_nodes_cannot_start_ends_with_their_words(
    tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    """It started them again for ever, and said only `ended with 2`."""
    port = str(free_ports(1)[0])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "counter_node.devcluster"),
            *("--nodes", "1", "--port", port, "--dir", str(tmp_path), *words),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, said in done.stderr) == (code, True), done
    assert "Traceback" not in done.stderr


def test_all_parts_are_of_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {
        counter_node.__version__,
        countercluster.__version__,
        countercluster_operator.__version__,
    } == {project}


def test_every_setting_of_the_node_and_of_the_operator_is_in_its_help(answers: Answers) -> None:
    node, operator = (
        answers["counter_node", "--help"]["out"],
        answers["countercluster_operator", "--help"]["out"],
    )
    assert [name for name in HELP if "--" + name.replace("_", "-") not in node] == []
    assert [name for name in VARIABLES if name not in operator] == []
    source = (
        (ROOT / "operator/countercluster_operator/run/settings.py")
        .read_text()
        .split("def _restrictions")[1]
    )
    assert [name for name in VARIABLES if f'"{name}"' not in source] == []


def test_every_file_that_is_a_program_is_tried_here() -> None:
    def name(path: Path) -> str:
        file = str(path.relative_to(ROOT))
        module = file.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
        for room in ("node_image.", "operator.", "client."):
            module = module.removeprefix(room)
        return module if module in (*PRODUCTS, *TOOLS) else file

    rooms = (
        "benchmarks",
        "client",
        "crds",
        "docs",
        "examples",
        "generators",
        "kind",
        "manifests",
        "node_image",
        "operator",
        "tests",
    )
    programs = {
        name(p)
        for room in rooms
        for p in (ROOT / room).rglob("*.py")
        if '\nif __name__ == "__main__":\n' in p.read_text()
    }
    assert programs - PARTS_OF_TESTS == {*PRODUCTS, *TOOLS}


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HEALTH_PORT", "http", "HEALTH_PORT is 'http'; a number is needed"),
        ("HEALTH_PORT", "70000", "HEALTH_PORT is 70000; a whole number, 1 to 65535"),
        ("WORKERS", "0", "WORKERS is 0; at least 1"),
        ("WORKERS", "1.5", "WORKERS is 1.5; a whole number, 1 to 1000"),
        ("MAX_ROLLS", "-1", "MAX_ROLLS is -1; at least 1"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud'; one of debug, info, warning, error, critical"),
        ("LEADER_ELECTION", "yes", "LEADER_ELECTION is 'yes'; one of true, false"),
        ("CERTIFICATE_HOURS", "0", "CERTIFICATE_HOURS is 0; at least 0.001"),
        ("SPREAD_SECONDS", "nan", "SPREAD_SECONDS is nan; at least 0"),
        (
            "IMAGE_PULL_SECRETS",
            "registry, My_Secret",
            "IMAGE_PULL_SECRETS: 'My_Secret' is no name of a Secret: at most 253 small letters, "
            "digits, hyphens and dots",
        ),
    ],
)
def test_a_wrong_setting_of_the_operator_is_named_with_its_value_and_what_is_allowed(
    variable: str, value: str, words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"POD_NAMESPACE": "ns", variable: value})
    assert str(caught.value) == words
    assert load({"POD_NAMESPACE": "ns", variable: ""}) == load({"POD_NAMESPACE": "ns"}), (
        "empty is not set"
    )
