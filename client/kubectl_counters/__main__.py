"""The commands of `kubectl counters`. Thin: what is asked is in kube.py and nodes.py, what is shown
in views.py."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from countercluster import __version__
from rich.console import Console
from rich.live import Live
from rich.text import Text

from kubectl_counters import audit as auditing
from kubectl_counters import views
from kubectl_counters.kube import Kube, Object, Trouble, quiet_port_forwards
from kubectl_counters.nodes import NOBODY, Unconfirmed
from kubectl_counters.report import bundle
from kubectl_counters.session import GLOBAL, Output, Progress, Session

RESTARTED = "countercluster.io/restarted-at"
OUTCOME_UNKNOWN = 75
"""Exit code: it may have been counted (EX_TEMPFAIL)."""
NO_FILES = ":4"
"""Cobra's directive: do not go on with names of files."""

app = typer.Typer(
    name="kubectl counters",
    no_args_is_help=True,
    help=__doc__.splitlines()[0] if __doc__ else "",
    pretty_exceptions_enable=False,
)


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    """For the shell's completion, which must never fail."""
    try:
        params = ctx.parent.params if ctx.parent is not None else {}
        kube = Kube.connect(
            params.get("kubeconfig"), params.get("context"), params.get("namespace")
        )
        return [name for name in kube.clusters() if name.startswith(incomplete)]
    except Trouble:
        return []


To = Annotated[str, typer.Argument(help="The pod that shall lead; else the one that is furthest")]
File = Annotated[Path | None, typer.Option("-f", "--file", help="Where to; NAME-report.tar.gz")]
Name = Annotated[str, typer.Argument(help="The CounterCluster", autocompletion=_names)]
How = Annotated[Output, typer.Option("-o", "--output", help="How to show it")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kubectl counters {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_version, help="Prints the version of this program"
        ),
    ] = False,
    namespace: Annotated[
        str | None, typer.Option("-n", "--namespace", help="Namespace; else the context's")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig")] = None,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Another kubeconfig", envvar="KUBECONFIG")
    ] = None,
) -> None:
    if ctx.obj is None:
        ctx.obj = Session(Kube.connect(kubeconfig, context, namespace))


def _show(output: Output, found: Any, table: Any) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(found, indent=2))
    elif output is Output.YAML:
        typer.echo(yaml.safe_dump(found, sort_keys=False), nl=False)
    else:
        Console(soft_wrap=True, highlight=False, markup=False).print(table)


@app.command()
def status(ctx: typer.Context, name: Name, output: How = Output.TABLE) -> None:
    """Members, roles, lag, versions, the cache, and what the operator is doing and why."""
    _, found = ctx.obj.found(name)
    _show(output, found, views.status_view(found))


@app.command()
def top(
    ctx: typer.Context,
    name: Name,
    interval: Annotated[float, typer.Option(help="Seconds between looks", min=0.2)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then end")] = False,
    output: How = Output.TABLE,
) -> None:
    """Commands, errors, CPU and memory of each member, as they go."""
    session: Session = ctx.obj

    def scraped() -> dict[str, dict[str, float]]:
        found = {}
        for pod in session.kube.pods(name):
            try:
                found[pod["metadata"]["name"]] = views.samples(
                    session.nodes(name).page(pod, "/metrics")
                )
            except Trouble:
                continue
        return found

    def look(
        before: dict[str, dict[str, float]], since: float
    ) -> tuple[dict[str, dict[str, float]], dict[str, Object]]:
        after = scraped()
        took = time.monotonic() - since
        return after, {
            pod: views.rates(before[pod], after[pod], took) for pod in after if pod in before
        }

    before, since = scraped(), time.monotonic()
    if once or output is not Output.TABLE:
        time.sleep(interval)
        _, by_pod = look(before, since)
        _show(output, by_pod, views.top_view(session.found(name)[1], by_pod))
        return
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            before, by_pod = look(before, since)
            since = time.monotonic()
            live.update(views.top_view(session.found(name)[1], by_pod), refresh=True)


@app.command()
def get(
    ctx: typer.Context,
    name: Name,
    keys: Annotated[list[str], typer.Argument(help="Counters")],
    output: How = Output.TABLE,
) -> None:
    """The values of counters, as they are now."""
    pod = ctx.obj.ready_pod(name)
    values = dict(zip(keys, ctx.obj.nodes(name).command(pod, "MGET", *keys), strict=True))
    found = {key: None if value is None else int(value) for key, value in values.items()}
    _show(
        output,
        found,
        "\n".join(f"{key} {'(none)' if value is None else value}" for key, value in found.items()),
    )


@app.command()
def incr(
    ctx: typer.Context,
    name: Name,
    key: str,
    by: Annotated[int, typer.Option(help="How much; may be negative")] = 1,
    output: How = Output.TABLE,
) -> None:
    """Counts. Exit code 75: it is not known whether it was counted."""
    pod = ctx.obj.ready_pod(name)
    try:
        value = int(ctx.obj.nodes(name).command(pod, "INCRBY", key, by))
    except Unconfirmed as error:
        typer.echo(f"it is not known whether it was counted: {error}", err=True)
        raise typer.Exit(OUTCOME_UNKNOWN) from None
    _show(output, {key: value}, str(value))


@app.command()
def scan(
    ctx: typer.Context,
    name: Name,
    pattern: Annotated[str, typer.Argument(help="As of Redis' SCAN")] = "*",
    values: Annotated[bool, typer.Option("--values", help="Their values, too")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0: all")] = 0,
    output: How = Output.TABLE,
) -> None:
    """Names of counters."""
    found: dict[str, str] = {}
    with Progress(sys.stderr) as progress:
        try:
            for page in ctx.obj.nodes(name).scan(
                ctx.obj.ready_pod(name), pattern, values=values, limit=limit
            ):
                found.update(page)
                progress.tell(f"{len(found):,} counters")
        except Unconfirmed as error:  # nothing was to be changed
            raise Trouble(str(error)) from None
    names = sorted(found)
    shown: Any = {key: int(found[key]) for key in names} if values else names
    _show(output, shown, "\n".join(f"{key} {found[key]}" if values else key for key in names))


@app.command()
def transfer(ctx: typer.Context, name: Name, to: To = "", output: How = Output.TABLE) -> None:
    """Hands leadership over."""
    pods, found = ctx.obj.found(name)
    by_name = {pod["metadata"]["name"]: pod for pod in pods}
    ids = {member["name"]: member["nodeId"] for member in found["members"]}
    if found["leader"] not in by_name:
        raise Trouble(f"{name} has no leader that could hand over")
    if to and not ids.get(to):
        raise Trouble(f"{to} is no member of {name} that answers: {', '.join(ids)}")
    ctx.obj.nodes(name).transfer(by_name[found["leader"]], ids[to] if to else NOBODY)
    leader = ctx.obj.found(name)[1]["leader"] or to
    _show(output, {"leader": leader}, f"{leader} leads")


@app.command()
def restart(ctx: typer.Context, name: Name, output: How = Output.TABLE) -> None:
    """Restarts the members one after the other, the leader last; the operator does it."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ctx.obj.kube.edit(name, {"podTemplate": {"annotations": {RESTARTED: now}}})
    _show(
        output,
        {"name": name, "restartedAt": now},
        f"{name}: its members will be restarted one by one; kubectl counters status {name}",
    )


@app.command()
def pause(ctx: typer.Context, name: Name, output: How = Output.TABLE) -> None:
    """The operator changes nothing until `resume`; counting goes on."""
    ctx.obj.kube.edit(name, {"paused": True})
    _show(output, {"name": name, "paused": True}, f"{name} is paused")


@app.command()
def resume(ctx: typer.Context, name: Name, output: How = Output.TABLE) -> None:
    """The operator looks after the CounterCluster again."""
    ctx.obj.kube.edit(name, {"paused": False})
    _show(output, {"name": name, "paused": False}, f"{name} is managed again")


@app.command()
def logs(
    ctx: typer.Context,
    name: Name,
    lines: Annotated[int, typer.Option(help="Of each member, at most", min=1)] = 100,
    output: How = Output.TABLE,
) -> None:
    """The logs of all members, in the order of time."""
    found: list[dict[str, str]] = []
    for pod in ctx.obj.kube.pods(name):
        here = pod["metadata"]["name"]
        found += [
            {"pod": here, "line": line}
            for line in ctx.obj.kube.logs(here, lines=lines).splitlines()
        ]
    found.sort(key=lambda entry: _time_of(entry["line"]))
    _show(output, found, Text("\n".join(f"{entry['pod']}: {entry['line']}" for entry in found)))


def _time_of(line: str) -> str:
    try:
        return str(json.loads(line).get("time", ""))
    except (ValueError, AttributeError):
        return ""


@app.command()
def report(ctx: typer.Context, name: Name, file: File = None, output: How = Output.TABLE) -> None:
    """A bundle for whoever is to help: states, events, metrics and logs, without secrets and
    without counters."""
    target = file or Path(f"{name}-report.tar.gz")
    data = bundle(ctx.obj.kube, ctx.obj.nodes(name), name)
    target.write_bytes(data)
    _show(
        output,
        {"file": str(target), "bytes": len(data)},
        f"{target} ({len(data) / 1024:.0f} KiB); look through it before you send it",
    )


@app.command()
def audit(ctx: typer.Context, name: Name, output: How = Output.TABLE) -> None:
    """What is open, to whom, why, and the remedy; it only looks. Exit code 1: something is of
    severity high or medium."""
    findings = auditing.found(ctx.obj.kube, ctx.obj.dial, name)
    if output is Output.TABLE:
        Console(highlight=False, markup=False).print(auditing.table(findings))
    else:
        _show(output, auditing.plain(findings), None)
    raise typer.Exit(auditing.code(findings))


def in_front(words: list[str]) -> list[str]:
    """The global options before the command, wherever they stand: kubectl itself takes `-n`
    anywhere, and passes none to a plugin that stands before its name. What follows `--` is left as
    it is."""
    front: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            return [*front, *rest, word, *left]
        if word in GLOBAL:
            front += [word, *itertools.islice(left, 1)]
        elif word.startswith(tuple(f"{name}=" for name in GLOBAL if name.startswith("--"))):
            front.append(word)
        else:
            rest.append(word)
    return [*front, *rest]


def main() -> None:
    quiet_port_forwards()
    try:
        app(args=in_front(sys.argv[1:]))
    except Trouble as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


def complete() -> None:
    """For kubectl's own completion, which runs `kubectl_complete-counters WORD…` and expects one
    proposal a line and a directive of Cobra's."""
    words = ["kubectl-counters", *sys.argv[1:]]
    os.environ |= {
        "_KUBECTL_COUNTERS_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    try:
        app(args=[], prog_name=words[0])
    finally:
        typer.echo(NO_FILES)


if __name__ == "__main__":
    main()
