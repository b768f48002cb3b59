"""`python3 node_image/compile.py [--root DIR] [--into DIR]`: compiles the modules that may be
compiled, with the Python that runs this.

1. Only speed is lost where it was not run (counter_node/fast/). Where it cannot
   compile, one line says so, with exit code 3: `make setup` goes on then, an image's build does
   not. Wrong code ends with another code everywhere.
2. A module lands beside its source, or in the same folders below --into. It comes by a rename:
   whoever imports it meanwhile finds the old or the new.
3. Nothing else is left behind, and none of an older source where compiling is no longer possible.
4. A module holds the digest of its source. `--check` compiles nothing and ends with code 1 when a
   module was made from another one than is there, as after a change of branch: what such a module
   does is not what its source says.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CANNOT = 3
STALE = 1
SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))
FLAGS = ["-O2", "-g0"]
MARK = "counter_node source "


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="compile.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=HERE, help="the folder that holds the package counter_node"
    )
    parser.add_argument(
        "--into", type=Path, help="where the compiled modules go; without it, beside their sources"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only tells which compiled modules do not fit their sources",
    )
    chosen = parser.parse_args()
    root, into = chosen.root.resolve(), (chosen.into or chosen.root).resolve()
    sources = sources_of(root)
    if chosen.check:
        found = stale(root, into)
        print(
            "".join(f"{path}: compiled from another source than is there\n" for path in found),
            end="",
            file=sys.stderr,
        )
        return STALE if found else 0
    if missing := lack():
        for source in sources:
            compiled(into, source).unlink(missing_ok=True)
        print(
            f"counter_node is not compiled, which works as well and is slower: {missing}",
            file=sys.stderr,
        )
        return CANNOT
    with tempfile.TemporaryDirectory() as scratch:
        build(root, sources, Path(scratch))
        for source in sources:
            put(compiled(Path(scratch), source), compiled(into, source))
    return 0


def sources_of(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for path in (root / "counter_node").rglob("*.pyx"))


def mark(source: Path) -> str:
    """What the module made from this source holds."""
    return MARK + hashlib.sha256(source.read_bytes()).hexdigest()


def stale(root: Path = HERE, into: Path = HERE) -> list[Path]:
    """Modules for this Python that are there and do not fit their sources."""
    pairs = [(root / source, compiled(into, source)) for source in sources_of(root)]
    return [
        module
        for source, module in pairs
        if module.exists() and mark(source).encode() not in module.read_bytes()
    ]


def lack() -> str:
    """What keeps this Python from compiling; empty when nothing does."""
    if modules := [
        name for name in ("Cython", "setuptools") if importlib.util.find_spec(name) is None
    ]:
        return f"{' and '.join(modules)} must be installed (requirements/compile.txt)"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        return f"there is no C compiler ({compiler[0]}); on Debian: apt-get install gcc libc6-dev"
    # Python.h includes the C library's headers, so one question tells of both.
    folders = [
        word for name in ("include", "platinclude") for word in ("-I", sysconfig.get_path(name))
    ]
    command = [*compiler, *folders, "-fsyntax-only", "-x", "c", "-"]
    if subprocess.run(
        command, input=b"#include <Python.h>\n", capture_output=True, check=False
    ).returncode:
        return (
            f"the headers of {sys.executable} or of the C library are missing; on Debian: "
            f"apt-get install python3-dev libc6-dev"
        )
    return ""


def build(root: Path, sources: list[Path], into: Path) -> None:
    """Compiles everything below a folder that holds nothing else. Imported here: what is missing
    is reported before."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    os.chdir(root)
    extensions = [extension(Extension, source, into) for source in sources]
    made = cythonize(extensions, build_dir=str(into), language_level=3, quiet=True)
    command = build_ext(Distribution({"ext_modules": made}))
    command.build_lib = command.build_temp = str(into)
    command.ensure_finalized()
    command.run()


def extension(kind: Any, source: Path, into: Path) -> Any:
    header = into / f"{source.stem}.digest.h"
    header.write_text(
        f'static const char counter_node_source[] __attribute__((used)) = "{mark(source)}";\n'
    )
    return kind(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        extra_compile_args=[*FLAGS, "-include", str(header)],
    )


def compiled(folder: Path, source: Path) -> Path:
    """Where a source's module is below a folder."""
    return folder / source.with_suffix(SUFFIX)


def put(made: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(made, new)
    new.chmod(0o755)
    new.replace(target)


if __name__ == "__main__":
    sys.exit(main())
