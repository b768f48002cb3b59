"""What the documentation says can be done: commands that some test or program of this repository
really runs, links that lead somewhere.

A command in a ```console block must match a line of `KNOWN`: a pattern, the file that runs it, and
words to be found in that file. Whoever writes a new command into a page names the test that keeps
it true, or writes that test first. `BY_HAND` holds the few that nothing runs, with the reason."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

KNOWN: list[tuple[str, str, str]] = [
    (
        r"make (setup|cluster|demo|unit|sim|integration|apiserver|e2e|test|test-fast|lint|images"
        r"|install|bench|down|clean|clients|manifests-check|pictures|faults|mutations|figures)"
        r"( SEEDS=\S+| MINUTES=\S+)?",
        "Makefile",
        ".PHONY: {1}",
    ),
    (
        r"make (release) VERSION=\S+ REGISTRY=\S+( KEY=\S+| URL=\S+)?",
        "Makefile",
        "$(PY) -m kind.release --version",
    ),
    (r"docker login \S+", "tests/release/conftest.py", '"auth", "login"'),
    (r"cosign generate-key-pair", "tests/release/test_signed.py", '"generate-key-pair"'),
    (r"make setup && source \.venv/bin/activate", "Makefile", "-m venv .venv"),
    (r'eval "\$\(python3 kind/local\.py env\)"', "Makefile", "$(CLUSTER) env"),
    (r"python3? kind/local\.py \w+", "tests/unit/kind/test_cluster.py", "kind"),
    (
        r"python3? -m tests\.simulation .*",
        "tests/simulation/shrink.py",
        "python -m tests.simulation",
    ),
    (
        r"python3? -m counter_node\.devcluster .*",
        "tests/support/devcluster.py",
        "counter_node.devcluster",
    ),
    (r"python3? -m countercluster\.load .*", "tests/unit/client/test_load.py", "load"),
    (
        r"python3? -m counter_node\.wal inspect .*",
        "tests/unit/storage/test_inspection.py",
        "inspect",
    ),
    (
        r"python3 -m pytest tests/clients/test_stock_programs\.py --rewrite",
        "tests/clients/test_stock_programs.py",
        "--rewrite",
    ),
    (
        r"python3 -m pytest tests/clients/test_cluster_clients\.py --rewrite",
        "tests/clients/test_cluster_clients.py",
        "--rewrite",
    ),
    (
        r"redis-cli -p 6380 .*mget countercluster:.*",
        "client/countercluster/aio/cache.py",
        "mget(HEARTBEAT",
    ),
    (
        r"python3? -m benchmarks\.cache_staleness",
        "tests/integration/test_cache.py",
        "cache_staleness",
    ),
    (
        r"(?:export REDISCLI_AUTH=\$\()?kubectl get secret clicks-client -o go-template=.*",
        "tests/e2e/test_security.py",
        "docs/operating/install.md",
    ),
    (
        r"redis-cli -p 6380 .*--user reader get visits",
        "tests/e2e/test_security.py",
        '"--user", "reader", "GET"',
    ),
    (r"redis-cli --tls .*", "tests/e2e/test_security.py", "docs/operating/install.md"),
    (r"redis-cli .*", "tests/clients/test_stock_clients.py", "redis-cli"),
    (
        r"REDISCLI_AUTH=.* redis-cli -h .*",
        "tests/clients/test_docs_bindings.py",
        '"$ REDISCLI_AUTH"',
    ),
    (r"redis-benchmark .*", "tests/clients/test_stock_clients.py", "redis-benchmark"),
    (r"kubectl get nodes", "kind/cluster.py", "nodes"),
    (
        r"kubectl apply --server-side -f manifests/install\.yaml",
        "Makefile",
        "apply --server-side -f manifests/install.yaml",
    ),
    (
        r"kubectl apply --server-side -f crds/countercluster\.yaml",
        "tests/apiserver/test_namespaced.py",
        '"crds" / "countercluster.yaml"',
    ),
    (
        r"sed 's/my-namespace/team-a/' manifests/install-namespaced\.yaml \| kubectl apply .*",
        "tests/apiserver/test_namespaced.py",
        '"my-namespace"',
    ),
    (
        r"sed 's/my-namespace/team-a/' manifests/install-namespaced-machines\.yaml .*",
        "tests/apiserver/test_rbac.py",
        "namespaced-machines.yaml",
    ),
    (
        r"kubectl get pv -l countercluster\.io/claim=.*",
        "tests/unit/operator/test_giving_up.py",
        "countercluster.io/claim",
    ),
    (
        r"kubectl -n countercluster-system rollout status deployment/countercluster-operator .*",
        "Makefile",
        "deployment/countercluster-operator",
    ),
    (
        r"kubectl apply -f manifests/samples/clicks\.yaml",
        "examples/demo.py",
        '"apply", "-f", str(SAMPLE)',
    ),
    (r"kubectl get (?:cc|pods)(?: .*)?", "tests/e2e/test_counting.py", '"get", "cc,pods"'),
    (r"kubectl scale cc/clicks --replicas=\d", "tests/e2e/test_scaling.py", '"scale", "cc/clicks"'),
    (
        r"kubectl patch cc clicks --type=merge -p '\{\"spec\":\{\"image\":.*",
        "tests/e2e/test_scaling.py",
        '"patch", "cc", "clicks", "--type=merge"',
    ),
    (
        r"kubectl patch cc clicks --type=merge -p '\{\"spec\":\{\"hibernated\":.*",
        "tests/e2e/test_states.py",
        '{"hibernated": True}',
    ),
    (
        r"kubectl patch cc clicks --type=merge -p '\{\"spec\":\{\"rollout\":.*",
        "tests/e2e/test_rolling.py",
        '{"rollout": {"strategy": "Supervised"}',
    ),
    (
        r"kubectl delete pvc data-clicks-2 --wait=false",
        "tests/e2e/test_scaling.py",
        '"delete", "pvc"',
    ),
    (
        r"pipx install '\.\[kubectl\]'",
        "tests/apiserver/test_plugin_installed.py",
        '"{wheel}[kubectl]"',
    ),
    (r"kubectl delete pod clicks-2", "tests/e2e/test_scaling.py", '"delete", "pod", name'),
    (r"kubectl counters (?:logs) clicks(?: .*)?", "tests/e2e/test_plugin.py", 'plugin("logs"'),
    (
        r"kubectl counters (\w+) clicks(?: .*)?",
        "tests/apiserver/test_kubectl.py",
        'run(session, "{1}", "clicks"',
    ),
    (r"kubectl delete cc clicks", "tests/e2e/test_children.py", '"delete", "cc"'),
    (
        r"kubectl port-forward svc/clicks(?:-cache)? \d+:6379",
        "tests/e2e/test_counting.py",
        '"svc/clicks"',
    ),
]

BY_HAND: dict[str, str] = {}


def console_commands(page: Path) -> Iterator[str]:
    """Lines after `$ ` in console blocks, without their trailing comment; a backslash continues a
    line."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield " ".join(re.sub(r"\s+#\s.*$", "", line[2:]).split())


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_is_run_by_something_in_the_repository(page: Path) -> None:
    for command in console_commands(page):
        if command in BY_HAND:
            continue
        matches = [
            (re.fullmatch(pattern, command), where, words) for pattern, where, words in KNOWN
        ]
        found = [(m, where, words) for m, where, words in matches if m]
        assert found, (
            f"{named(page)}: nothing in the repository runs {command!r}; add the test, then a "
            f"line to KNOWN"
        )
        match, where, words = found[0]
        expected = words.replace("{1}", match[1]) if match.groups() else words
        assert (ROOT / where).exists(), (
            f"{named(page)}: {where} should run {command!r}, but is not there"
        )
        assert expected in (ROOT / where).read_text(), (
            f"{named(page)}: {where} does not contain {expected!r}, so it does not run {command!r}"
        )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{named(page)} links to {target}, which is not there"
        if heading and file.suffix == ".md":
            anchors = {
                re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
                for line in file.read_text().splitlines()
                if line[:1] == "#"
            }
            assert heading in anchors, (
                f"{named(page)} links to {target}; {path} has no such heading"
            )


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_shows_as_evidence_is_there(page: str) -> None:
    for path in re.findall(
        r"`((?:tests|examples|docs|node_image)/[\w./-]*)`", (ROOT / page).read_text()
    ):
        assert (ROOT / path).exists(), f"{page} names {path}, which is not there"


def test_the_lines_of_yaml_in_the_readme_are_the_sample() -> None:
    sample = (ROOT / "manifests/samples/clicks.yaml").read_text()
    assert f"```yaml\n{sample}```" in (ROOT / "README.md").read_text()


def test_the_table_of_dependencies_is_complete() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[<>=\[;~ ]", line)[0].lower().replace("_", "-")
        for extra in project["optional-dependencies"].values()
        for line in extra
    }
    table = (ROOT / "docs/decisions/0002-dependencies.md").read_text()
    printed = {
        name.strip().lower().replace("_", "-")
        for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
        if row != "package"
        for name in row.split(",")
        if not set(name) <= set("-")
    }
    assert printed == wanted


def test_make_help_names_the_two_commands_of_the_readme() -> None:
    printed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    ).stdout
    assert "make demo" in printed
    assert "make test " in printed
