"""What this machine is, read from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kind import cli
from kind.tools import host
from kind.tools.host import (
    debian_mirror,
    debian_security,
    go_version,
    has_cgroup_v1,
    lacks_sys_resource,
    missing_packages,
)
from kind.tools.settings import TEST_PACKAGES
from kind.tools.shell import Problem, run
from kind.tools.store import Store

NEW_STYLE = """Types: deb
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates

Types: deb
URIs: http://mirror.example/debian-security
"""
OLD_STYLE = """# deb http://commented.example/debian bookworm main
deb [signed-by=/x.gpg] http://security.example/debian-security bookworm-security main
deb [signed-by=/usr/share/keyrings/x.gpg] https://mirror.example/debian/ bookworm main
"""


@pytest.mark.parametrize(
    ("text", "mirror"),
    [(NEW_STYLE, "http://mirror.example/debian"), (OLD_STYLE, "https://mirror.example/debian")],
)
def test_the_main_archive_is_found_in_both_styles(text: str, mirror: str) -> None:
    assert debian_mirror([text]) == mirror


def test_the_archive_of_security_updates_is_found_where_there_is_one() -> None:
    assert debian_security([NEW_STYLE]) == "http://mirror.example/debian-security"
    assert debian_security([OLD_STYLE]) == "http://security.example/debian-security"
    assert debian_security(["deb http://mirror.example/debian bookworm main"]) is None


def test_no_archive_is_a_problem_with_a_remedy() -> None:
    with pytest.raises(Problem, match="sources"):
        debian_mirror(["# nothing here\n"])


def test_a_missing_capability_is_read_from_the_bounding_set() -> None:
    assert lacks_sys_resource("CapEff:\t0000000000000000\nCapBnd:\t000001fffeffffff\n")
    assert not lacks_sys_resource("CapBnd:\t000001ffffffffff\n")
    assert not lacks_sys_resource("")


def test_cgroup_version_2_is_recognised_by_its_controllers_file(tmp_path: Path) -> None:
    controllers = tmp_path / "cgroup.controllers"
    assert has_cgroup_v1(controllers)
    controllers.write_text("cpu memory\n")
    assert not has_cgroup_v1(controllers)


def test_go_versions_compare_as_numbers() -> None:
    assert go_version("go version go1.26.8 linux/amd64") == (1, 26)
    assert go_version("go version go1.9 linux/amd64") < (1, 26)
    assert go_version("nonsense") == (0, 0)


def test_a_failing_program_is_reported_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="out of cheese"):
        run("sh", "-c", "echo out of cheese >&2; exit 3")
    with pytest.raises(Problem, match="out of cheese"):
        run("sh", "-c", "echo out of cheese; exit 3", log=tmp_path / "log")
    with pytest.raises(Problem, match="not installed"):
        run("no-such-program-here")
    with pytest.raises(Problem, match="did not end within"):
        run("sleep", "5", timeout_s=0.1)


def test_a_package_counts_as_missing_unless_it_is_wholly_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        host,
        "run",
        lambda *_: "gcc installed\nprometheus config-files\nredis-tools half-installed\n",
    )
    assert missing_packages(("gcc", "prometheus", "redis-tools", "redis-server")) == [
        "prometheus",
        "redis-tools",
        "redis-server",
    ]
    assert "docker.io" in missing_packages()


def test_the_packages_of_the_tests_are_installed_by_root_and_only_named_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed: list[object] = []
    monkeypatch.setattr(host, "missing_packages", lambda wanted: list(wanted))
    monkeypatch.setattr(host, "install_packages", lambda _, wanted: installed.append(wanted))
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.test_packages(Store(tmp_path)) == 0
    assert installed == []
    said = capsys.readouterr()
    assert "redis-server" in said.out + said.err
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cli.test_packages(Store(tmp_path)) == 0
    assert installed == [TEST_PACKAGES]
