"""The programs that are compiled for the benchmarks: load generators, and peers from Go modules.
The cache keeps them until their sources change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NEEDED = {
    "gcc": "the load generator (Debian: gcc, libc6-dev)",
    "go": "etcd and hashicorp/raft (1.26 or later)",
    "redis-server": "Redis (Debian: redis-server)",
}


@dataclass(frozen=True)
class Tools:
    loadgen: Path
    etcd: Path
    etcdload: Path
    hashicorp: Path


def missing() -> list[str]:
    """What this machine lacks, with what it is for."""
    return [f"{name}: {purpose}" for name, purpose in NEEDED.items() if shutil.which(name) is None]


def build() -> Tools:
    """Compiles what is not in the cache yet. The first time takes some minutes (etcd).

    Raises:
        subprocess.CalledProcessError: a compiler failed; it has printed why.
    """
    base = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        / "countercluster"
        / "bench"
    )
    base.mkdir(parents=True, exist_ok=True)
    loadgen_source = HERE / "loadgen" / "loadgen.c"
    loadgen = base / f"loadgen-{_digest([loadgen_source])}"
    if not loadgen.exists():
        print("bench: compiling the load generator", flush=True)
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(loadgen), str(loadgen_source)],
            check=True,
        )
    sources = sorted(
        path for path in (HERE / "peers").rglob("*") if path.suffix in {".go", ".mod", ".sum"}
    )
    go = base / f"go-{_digest(sources)}"
    if not go.exists():
        print("bench: compiling etcd and hashicorp/raft (minutes, the first time)", flush=True)
        part = go.with_suffix(".part")
        part.mkdir(exist_ok=True)
        subprocess.run(
            ["go", "build", "-trimpath", "-o", f"{part}/", "./..."], cwd=HERE / "peers", check=True
        )
        part.rename(go)
    return Tools(loadgen, go / "etcd", go / "etcdload", go / "hashicorp")


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
