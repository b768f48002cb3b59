"""The manifests of a release: those of this repository, with images by digest. Pure.

Each image of ours that a manifest names must be one of the release; any other would be one that
nobody can pull. The kustomize base has one variable, the registry (registry.yaml), for those who
copied the images to another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kind.tools.shell import Problem

OURS = re.compile(r"\bcountercluster/([a-z]+):dev(?:-next)?\b")
"""The local cluster's names of our images."""
PARTS = (
    "crds.yaml", "namespace.yaml", "rbac.yaml", "machines.yaml", "roles.yaml", "operator.yaml",
)  # fmt: skip
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def by_digest(text: str, images: Mapping[str, str]) -> str:
    """`images`: repository@digest, by the short name (node, operator, redis). Raises Problem."""
    for image in images.values():
        if not _DIGEST.fullmatch(image.partition("@")[2]):
            raise Problem(f"{image} is not named by a digest")

    def named(found: re.Match[str]) -> str:
        if found[1] not in images:
            raise Problem(f"a manifest names {found[0]}, which is no image of the release")
        return images[found[1]]

    return OURS.sub(named, text)


def kustomize(parts: Mapping[str, str], images: Mapping[str, str], registry: str) -> dict[str, str]:
    """The files of the base. `parts`: the texts of PARTS."""
    files = {name: by_digest(parts[name], images) for name in PARTS}
    lines = [_KUSTOMIZATION, *(f"- {name}\n" for name in (*PARTS, "registry.yaml")), _REPLACED]
    lines += [
        _target("spec.template.spec.containers.[name=operator].image", "operator"),
        _target(_variable("RELATED_IMAGE_NODE"), "node"),
        _target(_variable("RELATED_IMAGE_REDIS"), "redis"),
    ]
    return {
        **files,
        "registry.yaml": _REGISTRY.format(registry=registry),
        "kustomization.yaml": "".join(lines),
    }


def _variable(name: str) -> str:
    return f"spec.template.spec.containers.[name=operator].env.[name={name}].value"


def _target(path: str, image: str) -> str:
    return (
        "  - select: {kind: Deployment, name: countercluster-operator}\n"
        f"    fieldPaths: ['{path}']\n"
        f"    options: {{delimiter: '/{image}@', index: 0}}\n"
    )


_KUSTOMIZATION = """\
# The operator for all namespaces, to build upon. registry.yaml says where its images are.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
"""
_REPLACED = """\
replacements:
- source: {kind: ConfigMap, name: countercluster-registry, fieldPath: data.registry}
  targets:
"""
_REGISTRY = """\
# Where the images are. Once they are copied to another registry (mirror.sh): its host and path.
# Nothing of this is applied.
apiVersion: v1
kind: ConfigMap
metadata:
  name: countercluster-registry
  annotations: {{config.kubernetes.io/local-config: "true"}}
data:
  registry: {registry}
"""
