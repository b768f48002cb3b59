"""TLS and passwords on a real cluster: closed to strangers, and changed under load with no failed
command.

Every phase has to wait until the kubelets have brought a Secret to the pods, which takes up to a
minute and a half: the long ones are marked slow."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from countercluster_operator.credentials.certificates import Pair, advance

from examples.demo_counters import CounterCluster, Tools
from examples.demo_kube import Namespace, condition, kubectl, port_forward, wait
from tests.e2e import waits
from tests.e2e.rig import Rig, change_operator, manifest
from tests.support.certificates import now, secret_of

ROOT = Path(__file__).resolve().parents[2]
SPREAD_S = 95
LIFE_H = 0.1
LONG = ("--connections", "4", "--rate", "100", "--seconds", "1200")

_KNOCK = """
import json, ssl, socket, sys, redis
from countercluster.addresses import Binding
binding, host = Binding(sys.argv[1]), sys.argv[2]
authority = binding.options["ssl_ca_certs"]
known = {"host": host, "socket_timeout": 10, "ssl": True, "ssl_ca_certs": authority}

def outcome(answer):
    try:
        return str(answer())
    except Exception as error:
        return f"!{type(error).__name__}: {error}"

def raw(port):
    context = ssl.create_default_context(cafile=authority)
    plain = socket.create_connection((host, port), 10)
    with context.wrap_socket(plain, server_hostname=host) as stranger:
        stranger.sendall(b"*1\\r\\n$11\\r\\nRAFT.STATUS\\r\\n")
        return stranger.recv(100)

password = binding.password()
print(json.dumps({
    "the password": outcome(lambda: redis.Redis(**known, password=password).ping()),
    "no password": outcome(lambda: redis.Redis(**known).ping()),
    "another password": outcome(lambda: redis.Redis(**known, password="guess").ping()),
    "plain text": outcome(
        lambda: redis.Redis(host=host, socket_timeout=5, password=password).ping()
    ),
    "another authority": outcome(
        lambda: redis.Redis(**{**known, "ssl_ca_certs": None}, password=password).ping()
    ),
    "admin port": outcome(lambda: raw(7001)),
    "peer port": outcome(lambda: raw(7000)),
}))
"""


def test_a_pod_without_password_or_certificate_gets_nothing(rig: Rig) -> None:
    found = json.loads(rig.tools.python(_KNOCK, rig.tools.binding, "clicks-0.clicks-peers"))
    assert found.pop("the password") == "True"
    assert "Authentication" in found.pop("no password")
    assert "Authentication" in found.pop("another password")
    assert "CERTIFICATE_VERIFY_FAILED" in found.pop("another authority")
    assert all(answer.startswith("!") or answer == "b''" for answer in found.values()), (
        found
    )  # an error, or the end without a word


def test_redis_is_closed_to_everybody_but_nodes_and_readers(rig: Rig) -> None:
    """An application reads the cache with its own password; it cannot write to it."""
    books = rig.load("shut", "--connections", "2", "--count", "20").result()
    rig.wait_cached("shut", books["final"])
    words = [
        "exec",
        "deploy/clicks-cache",
        "--",
        "redis-cli",
        "--tls",
        "--cacert",
        "/secrets/ca.crt",
    ]
    assert "NOAUTH" in rig.space(*words, "GET", "shut")
    words += ["--no-auth-warning", "-a", (rig.binding() / "password").read_text()]
    assert "NOPERM" in rig.space(*words, "--user", "reader", "SET", "shut", "1")
    assert rig.space(*words, "--user", "reader", "GET", "shut").strip() == str(books["final"])


def test_pods_hold_no_token_and_nothing_secret_in_words_or_environment(rig: Rig) -> None:
    password = (rig.binding() / "password").read_text()
    for pod in rig.space.list("pods"):
        if pod["metadata"]["name"].startswith("clicks-"):
            assert pod["spec"]["automountServiceAccountToken"] is False
            assert password not in json.dumps(pod)
    said = rig.space("get", "events,cc", "-o", "yaml") + "".join(
        rig.space("logs", pod) for pod in rig.counters.pod_names()
    )
    assert password not in said


def test_the_commands_of_the_docs_reach_it_from_a_shell(rig: Rig, tmp_path: Path) -> None:
    """docs/operating/install.md, as it is written there, but for the local port."""
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed")
    page = (ROOT / "docs/operating/install.md").read_text()
    block = page.split("Use it from a shell")[1].split("```console\n")[1].split("```")[0]
    commands = [line.removeprefix("$ ") for line in block.splitlines()]
    assert [command for command in commands if command.startswith("kubectl port-forward")]
    with port_forward(rig.space, "svc/clicks", 6379) as port:
        script = "\n".join(
            command for command in commands if not command.startswith("kubectl port-forward")
        )
        script = script.replace("kubectl get", f"kubectl -n {rig.space.name} get").replace(
            "redis-cli", f"timeout 30 redis-cli -p {port}"
        )
        said = subprocess.run(
            ["bash", "-ec", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    assert int(said) >= 1


IMAGES = (("countercluster/node:dev", {"libc6", "redis", "msgspec"}),
("countercluster/operator:dev", {"libc6", "kopf"}),
          ("countercluster/redis:dev", {"libc6", "redis-server"}))  # fmt: skip
FORBIDDEN = re.compile(
    r"(^|/)(bin|sbin)/(\w*sh|busybox|perl[\w.]*|apt[\w-]*|dpkg[\w-]*|su|sudo|mount|passwd|python3?-config)$"
)


def _root(image: str, file: Path) -> tarfile.TarFile:
    """The image's root file system, as a container would have it."""
    made = subprocess.run(
        ["docker", "create", image], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()
    try:
        with file.open("wb") as out:
            subprocess.run(["docker", "export", made], stdout=out, timeout=300, check=True)
    finally:
        subprocess.run(["docker", "rm", made], capture_output=True, timeout=60, check=False)
    return tarfile.open(file)


@pytest.mark.parametrize(
    ("image", "parts"), IMAGES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_image_has_no_shell_no_setuid_file_and_a_list_of_what_is_in_it(
    tmp_path: Path, image: str, parts: set[str]
) -> None:
    with _root(image, tmp_path / "root.tar") as root:
        members = root.getmembers()
        assert not [m.name for m in members if m.isfile() and m.mode & 0o6000]
        assert not [m.name for m in members if not m.isdir() and FORBIDDEN.search(m.name)]
        code = [m.name for m in members if "/doc/" not in m.name]
        assert not [name for name in code if re.search(r"/(perl|perl5|perl-base|apt)$", name)]
        listed = root.extractfile("usr/share/sbom/sbom.cdx.json")
        assert listed is not None
        assert parts <= {part["name"] for part in json.load(listed)["components"]}


def test_plain_text_when_the_spec_says_so(make_rig: Callable[..., Rig]) -> None:
    spec = {
        "replicas": 1,
        "tls": {"enabled": False, "openPorts": "AnyoneWhoReachesThemIsObeyed"},
        "auth": {"enabled": False},
        "cache": {"enabled": False},
    }
    rig = make_rig("plain", spec)
    assert rig.load("open", "--connections", "2", "--count", "50").result()["acknowledged"] == 50
    assert sorted(path.name for path in rig.binding().iterdir()) == ["host", "port", "type", "uri"]


@pytest.fixture(scope="module")
def quick() -> Iterator[Rig]:
    """A CounterCluster whose certificates live for minutes, made by an operator that was set
    so."""
    change_operator(
        "set",
        "env",
        "deployment/countercluster-operator",
        f"SPREAD_SECONDS={SPREAD_S}",
        f"CERTIFICATE_HOURS={LIFE_H}",
    )
    space = Namespace(f"e2e-quick-{os.getpid()}")
    space.make()
    rig = Rig(space, CounterCluster(space, "quick"), Tools(space, "quick"), [])
    try:
        rig.tools.start()
        space("apply", "-f", "-", stdin=manifest("quick", {}))
        rig.counters.wait_settled(3, waits.READY, cache=True)
        rig.tools.wait()
        yield rig
    finally:
        rig.end_loads()
        kubectl("delete", "namespace", space.name, "--wait=false", "--ignore-not-found")
        change_operator(
            "set",
            "env",
            "deployment/countercluster-operator",
            "SPREAD_SECONDS-",
            "CERTIFICATE_HOURS-",
        )


def _meanwhile(rig: Rig, key: str, done: Callable[[], bool], seconds: float = 240) -> int:
    """New connections from new processes until it is done: each has to count without an error. How
    many there were."""
    end = time.monotonic() + seconds
    rounds = 0
    while not done():
        assert time.monotonic() < end, (
            f"not within {seconds:.0f} s; {rig.status().get('certificates')}"
        )
        rounds += 1
        rig.load(f"{key}-{rounds}", "--connections", "3", "--count", "30").result()
    return rounds


def _shown(rig: Rig) -> dict[str, str]:
    """What each node says that it shows: the serial number of its certificate."""
    return {pod: status["tls"]["serial"] for pod, status in rig.counters.node_statuses().items()}


@pytest.mark.slow
@pytest.mark.disturbs_operator
def test_a_new_password_is_published_when_it_is_good_and_no_client_is_refused(quick: Rig) -> None:
    load = quick.load("password")
    old = (quick.binding() / "password").read_text()
    quick.patch({"auth": {"rotatePassword": "now"}})
    _meanwhile(
        quick, "password", lambda: quick.status().get("rotatedPassword") == "now", 3 * SPREAD_S
    )
    new = (quick.binding() / "password").read_text()
    assert new != old
    look = (
        "import sys; from countercluster.addresses import Binding; "
        "print(Binding(sys.argv[1]).password() == sys.stdin.read())"
    )
    here = ("exec", "-i", "tools", "--", "python3", "-c", look, quick.tools.binding)
    _meanwhile(
        quick, "published", lambda: quick.space(*here, stdin=new).strip() == "True", 3 * SPREAD_S
    )
    quick.check("password", load, waits.HANDED_OVER)


@pytest.mark.slow
@pytest.mark.disturbs_operator
@pytest.mark.timeout(1000)
def test_certificates_and_authority_change_under_load_without_a_failed_command(quick: Rig) -> None:
    """First the certificates are made again before they end; then the authority is changed, and
    what the old one signed is refused."""
    load = quick.load("long", *LONG)
    load.wait_counting()
    pods, first = quick.counters.uids(), _shown(quick)
    made = quick.status()["certificates"]["notAfter"]
    ended = datetime.datetime.fromisoformat(made)

    def renewed() -> bool:
        return (
            datetime.datetime.now(datetime.UTC) > ended
            and quick.status()["certificates"]["notAfter"] > made
        )

    assert _meanwhile(quick, "renewal", renewed, LIFE_H * 3600 + 60) > 3
    assert len(set(_shown(quick).values()) | set(first.values())) > 1

    old = (quick.binding() / "ca.crt").read_text()
    quick.patch({"tls": {"rotateAuthority": "now"}})
    phases: list[str] = []

    def changed() -> bool:
        now = quick.status()["certificates"]
        phases.append(now.get("phase", ""))
        return now.get("rotated") == "now" and not now.get("phase")

    assert _meanwhile(quick, "authority", changed, 6 * SPREAD_S) > 3
    assert [phase for phase in dict.fromkeys(phases) if phase] == ["publish", "re-issue"]
    assert old not in (quick.binding() / "ca.crt").read_text()
    books = load.stop()
    assert books["gap"]["lengthSeconds"] <= waits.HANDED_OVER, books["gap"]
    assert quick.values("long") == {str(books["final"])}
    assert quick.counters.uids() == pods, "no pod was restarted for it"


@pytest.mark.slow
@pytest.mark.disturbs_operator
@pytest.mark.timeout(1500)
def test_certificates_of_somebody_else_come_change_and_go_under_load(quick: Rig) -> None:
    """A Secret that is missing or unfit is reported and changes nothing; of good ones old and new
    are trusted until every pod shows the new."""
    load = quick.load("foreign", *LONG)
    load.wait_counting()
    pods, before = quick.counters.uids(), _shown(quick)
    one, two = (advance(None, name, now()).signing for name in ("one", "two"))
    for secret in (
        secret_of(one, quick.space.name, "unfit", "another"),
        secret_of(one, quick.space.name, "first", "quick"),
        secret_of(two, quick.space.name, "second", "quick"),
    ):
        quick.space("apply", "-f", "-", stdin=json.dumps(secret))
    for name, words in (("nowhere", "Secret nowhere is not there"), ("unfit", "lacks URI")):
        quick.patch({"tls": {"secretName": name}})

        def unreported(words: str = words) -> str:
            ready = condition(quick.counters.get() or {}, "Ready")
            return (
                ""
                if ready.get("reason") == "CertificateRefused" and words in ready["message"]
                else str(ready)
            )

        wait(f"secretName {name} to be refused", waits.REPORTED, unreported)
    assert _shown(quick) == before
    reasons: set[str] = set()
    for name, authority in (("first", one), ("second", two), ("", None)):
        quick.patch({"tls": {"secretName": name}})

        def in_force(trusted: Pair | None = authority) -> bool:
            status = quick.status()
            reasons.update(c["reason"] for c in status["conditions"])
            bundle = (quick.binding() / "ca.crt").read_bytes()
            alone = (
                bundle == trusted.certificate
                if trusted
                else bundle.count(b"BEGIN") == 1
                and bundle not in (one.certificate, two.certificate)
            )
            return alone and not status["certificates"].get("phase")

        assert _meanwhile(quick, f"foreign-{name or 'own'}", in_force, 6 * SPREAD_S) > 1
    assert not reasons & {"QuorumLost", "NoLeader", "MajorityNotReady"}, reasons
    books = load.stop()
    assert books["gap"]["lengthSeconds"] <= waits.HANDED_OVER, books["gap"]
    assert quick.values("foreign") == {str(books["final"])}
    assert quick.counters.uids() == pods, "no pod was restarted for it"
