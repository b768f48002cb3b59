"""Signatures by cosign with a key of one's own: of the images, in their registry, and of the
checksums, beside them. Nothing is written to a public log.

The password of the key comes from COSIGN_PASSWORD, as cosign has it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kind.tools.shell import Problem, run

SIGNATURE, PUBLIC = "SHA256SUMS.sig", "cosign.pub"


def check(key: Path) -> None:
    """Raises Problem."""
    if not key.is_file():
        raise Problem(
            f"KEY is {key}: there is no such file", "cosign generate-key-pair writes cosign.key"
        )
    if "PRIVATE KEY" not in key.read_text(errors="replace"):
        raise Problem(
            f"KEY is {key}: no private key", "cosign generate-key-pair, or import-key-pair"
        )


def public_key(cosign: Path, key: Path) -> str:
    """Raises Problem: also where COSIGN_PASSWORD does not open the key."""
    try:
        return run(cosign, "public-key", "--key", key)
    except Problem as problem:
        raise Problem(
            f"{key} cannot be opened:\n{problem.what}", "COSIGN_PASSWORD is the key's password"
        ) from problem


def sign(cosign: Path, key: Path, images: Iterable[str], folder: Path) -> None:
    """The images by digest, and SHA256SUMS in the folder. Raises Problem."""
    for image in images:
        run(cosign, "sign", "--yes", "--key", key, "--tlog-upload=false", "--recursive", image)
    run(
        cosign, "sign-blob", "--yes", "--key", key, "--tlog-upload=false",
        "--output-signature", folder / SIGNATURE, folder / "SHA256SUMS",
    )  # fmt: skip
