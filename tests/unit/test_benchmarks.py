"""The parts of the benchmarks that need no other system begin, measure and end."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks import large, machine, report, stages, tools


def test_every_stage_of_the_hot_path_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(stages.main(repeats=1))
    lines = capsys.readouterr().out.splitlines()
    figures = [line.split() for line in lines if line.startswith("  ")]
    assert len(figures) == 14
    assert all(float(words[-1]) > 0 for words in figures)


def test_a_large_node_is_measured_to_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["large", "--keys", "2000", "--log-mib", "1"])
    assert large.main() == 0
    started = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("started again")
    ]
    assert len(started) == 2


def test_what_the_machine_takes_away_is_measured() -> None:
    found = machine.stalls(0.2)
    assert 0 <= found.share < 1
    assert found.longest_s < 60
    assert str(machine.Stalls(0.0125, 0.0144)) == "1.2% of the time, the longest 14 ms"


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def load(program: Path, serve: Serve, *options: str) -> dict[str, float]:
    """What the load generator says of a second."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    words = ["-a", target, "-c", "1", "-u", "0", "-t", "1", *options]
    process = await asyncio.create_subprocess_exec(program, *words, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    server.close()
    found: dict[str, float] = json.loads(out)
    return found


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the load generator needs gcc")
@pytest.mark.parametrize(("mode", "sent"), [("script", 1), ("scriptwait", 2)])
def test_a_script_is_one_operation_whatever_list_it_answers(
    tmp_path: Path, mode: str, sent: int
) -> None:
    program = tmp_path / "loadgen"
    subprocess.run(["gcc", "-O2", "-o", program, tools.HERE / "loadgen" / "loadgen.c"], check=True)
    counts = {b"EVALSHA": 0, b"WAIT": 0}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            for name in counts:
                counts[name] += data.count(name)
            for reply in (b"*3\r\n:1\r\n$", b"1\r\nx\r\n:60000\r\n", *[b":2\r\n"] * (sent - 1)):
                writer.write(reply)
                await asyncio.sleep(0)
        writer.close()

    found = asyncio.run(load(program, serve, "-m", mode, "-s", "a" * 40))
    assert found["errors"] == 0
    assert 0 <= counts[b"EVALSHA"] - found["operations"] <= 2, "the last ones came too late"
    assert counts[b"WAIT"] == counts[b"EVALSHA"] * (sent - 1)
    assert found["operations"] > 10


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the load generator needs gcc")
@pytest.mark.parametrize("together", [1, 5])
def test_with_a_timetable_commands_are_sent_when_they_are_due_answered_or_not(
    tmp_path: Path, together: int
) -> None:
    """A server that answers when so many commands wait. Who waited for one reply before the next
    command would wait for ever."""
    program = tmp_path / "loadgen"
    subprocess.run(["gcc", "-O2", "-o", program, tools.HERE / "loadgen" / "loadgen.c"], check=True)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting = 0
        while data := await reader.read(1 << 16):
            waiting += data.count(b"INCR")
            while waiting >= together:
                writer.write(b":1\r\n" * together)
                waiting -= together
        writer.close()

    def run(*options: str) -> dict[str, float]:
        return asyncio.run(load(program, serve, *options))

    on_time = run("-r", "200")
    assert 0 < on_time["operations"] <= 200
    if together > 1:
        assert on_time["p90_ms"] >= 15, "the first of five waits for four more, 5 ms each"
        assert run()["operations"] == 0, "without a timetable each waits for its reply"


def test_a_report_tells_what_of_the_percentile_is_the_machine_s() -> None:
    def sample(system: str, scenario: str, p99_ms: float) -> dict[str, object]:
        figures = {"rate": 100.0, "p50_ms": 1.0, "p99_ms": p99_ms, "errors": 0, "cpu_us": {}}
        return {"system": system, "scenario": scenario, "round": 1} | figures

    text = report.markdown(
        report.Results(
            {"about": {}, "samples": [sample("ours", "half", 4.0), sample("floor", "half", 1.5)]}
        )
    )
    assert "| 99th percentile at half of the top rate, ms (at most) | 5 | 4.00 | yes |" in text
    assert "a 99th percentile of 1.5 ms (1.5 to 1.5) at our half rate" in text
