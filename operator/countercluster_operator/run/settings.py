"""The operator's settings, each from one environment variable."""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from countercluster_operator.decide.restrictions import Restrictions, Words, image_words, words

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


VARIABLES = {
    "RELATED_IMAGE_NODE": "image of the nodes where spec.image is empty",
    "RELATED_IMAGE_REDIS": "image of the cache where spec.cache.image is empty",
    "IMAGE_PULL_SECRETS": "Secrets, in the namespace of each CounterCluster, with which its images "
    "are pulled, comma separated; empty: none",
    "WATCH_NAMESPACES": "namespaces that it looks after, comma separated; empty: all",
    "POD_NAMESPACE": "where it runs: its Lease lives there, and NetworkPolicies admit it from "
    "there only",
    "POD_NAME": "who holds the Lease; the host's name when empty",
    "HEALTH_PORT": "port of /healthz, /readyz and /metrics; 8080",
    "WORKERS": "CounterClusters that it works on at once; 16",
    "LOG_LEVEL": "debug, info, warning or error; info",
    "LEADER_ELECTION": "true or false: a Lease elects one of several; true",
    "MAX_ROLLS": "CounterClusters whose healthy members restart at the same time; 10",
    "HEALING_PER_DOMAIN": "members that it gives up at once in one failure domain, over all "
    "clusters; 1",
    "HEALING_IN_ALL": "members that it gives up at once in all; 3",
    "CERTIFICATE_HOURS": "life of a certificate, which is made again after two thirds of it; 2160",
    "SPREAD_SECONDS": "a phase of a change of authority lasts at least so long; 600",
    "ALLOWED_IMAGES": "beginnings of images that a CounterCluster may name, comma separated; "
    "none: none; empty: all",
    "ALLOWED_PRIORITY_CLASSES": "PriorityClasses that it may name",
    "ALLOWED_TOLERATIONS": "taints that it may tolerate, as key, key=value, key:Effect or "
    "key=value:Effect",
    "ALLOWED_LABELS": "labels that it may give to pods and for monitoring, as key or key=value",
    "ALLOWED_ANNOTATIONS": "annotations that it may give to pods",
    "ALLOWED_NODE_SELECTORS": "labels of machines that it may ask for",
    "ALLOWED_TOPOLOGY_KEYS": "labels of machines that it may spread over",
    "ALLOWED_STORAGE_CLASSES": "StorageClasses that it may name",
    "ALLOWED_RESOURCES": "resources that it may ask for, beside cpu, memory and ephemeral-storage",
}
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


class SettingsError(Exception):
    """A variable makes no sense; the message names it, its value and what is allowed."""


class Settings(msgspec.Struct, frozen=True):
    node_image: str  # RELATED_IMAGE_NODE
    redis_image: str  # RELATED_IMAGE_REDIS
    namespaces: tuple[str, ...]  # WATCH_NAMESPACES, comma separated; empty = all
    own_namespace: str  # POD_NAMESPACE: where the Lease lives
    identity: str  # POD_NAME: who holds it
    health_port: int  # HEALTH_PORT
    workers: int  # WORKERS: reconciles at once
    log_level: str  # LOG_LEVEL
    elect: bool  # LEADER_ELECTION
    max_rolls: int  # MAX_ROLLS: clusters that restart healthy members at the same time
    # HEALING_PER_DOMAIN: members given up at the same time in one zone (without zones: machine),
    # over all clusters
    healing_per_domain: int = 1
    healing_in_all: int = 3  # HEALING_IN_ALL: and in all
    certificate_hours: float = (
        90 * 24
    )  # CERTIFICATE_HOURS: life of a certificate; it is made again after two thirds
    spread_s: float = 600  # SPREAD_SECONDS: a phase of a change of authority lasts at least so long
    pull_secrets: tuple[str, ...] = ()  # IMAGE_PULL_SECRETS: of every pod that it makes
    restrictions: Restrictions = Restrictions()  # ALLOWED_…: what a CounterCluster may name


def _number(environment: Mapping[str, str], name: str, default: float, least: float) -> float:
    """Raises SettingsError."""
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; a number is needed") from None
    if not least <= value < math.inf:
        raise SettingsError(f"{name} is {text}; at least {least:g}")
    return value


def _count(
    environment: Mapping[str, str], name: str, default: int, most: int, *, least: int = 1
) -> int:
    """Raises SettingsError."""
    value = _number(environment, name, default, least)
    if value != int(value) or value > most:
        raise SettingsError(f"{name} is {environment[name]}; a whole number, {least} to {most}")
    return int(value)


def _word(environment: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    """Raises SettingsError."""
    word = (environment.get(name) or default).lower()
    if word not in allowed:
        raise SettingsError(f"{name} is {environment[name]!r}; one of {', '.join(allowed)}")
    return word


def _allowed(
    environment: Mapping[str, str], name: str, read: Callable[[str], Words] = words
) -> Words:
    """Raises SettingsError."""
    try:
        return read(environment.get(name, ""))
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _secrets(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Raises SettingsError."""
    found = [word.strip() for word in environment.get(name, "").split(",")]
    wanted = tuple(dict.fromkeys(word for word in found if word))
    for word in wanted:
        if len(word) > 253 or not _SECRET_NAME.fullmatch(word):
            raise SettingsError(
                f"{name}: {word!r} is no name of a Secret: at most 253 small letters, digits, "
                f"hyphens and dots"
            )
    return wanted


def _restrictions(environment: Mapping[str, str]) -> Restrictions:
    """Raises SettingsError."""
    return Restrictions(
        images=_allowed(environment, "ALLOWED_IMAGES", image_words),
        priority_classes=_allowed(environment, "ALLOWED_PRIORITY_CLASSES"),
        tolerations=_allowed(environment, "ALLOWED_TOLERATIONS"),
        labels=_allowed(environment, "ALLOWED_LABELS"),
        annotations=_allowed(environment, "ALLOWED_ANNOTATIONS"),
        node_selectors=_allowed(environment, "ALLOWED_NODE_SELECTORS"),
        topology_keys=_allowed(environment, "ALLOWED_TOPOLOGY_KEYS"),
        storage_classes=_allowed(environment, "ALLOWED_STORAGE_CLASSES"),
        resources=_allowed(environment, "ALLOWED_RESOURCES"),
    )


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError."""
    own = environment.get("POD_NAMESPACE") or (
        _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "countercluster-system"
    )
    node_image = environment.get("RELATED_IMAGE_NODE", "countercluster/node:dev")
    redis_image = environment.get("RELATED_IMAGE_REDIS", "countercluster/redis:dev")
    return Settings(
        node_image=node_image,
        redis_image=redis_image,
        namespaces=tuple(
            n.strip() for n in environment.get("WATCH_NAMESPACES", "").split(",") if n.strip()
        ),
        own_namespace=own,
        identity=environment.get("POD_NAME") or socket.gethostname(),
        health_port=_count(environment, "HEALTH_PORT", 8080, 65_535),
        workers=_count(environment, "WORKERS", 16, 1_000),
        log_level=_word(environment, "LOG_LEVEL", LOG_LEVELS, "info"),
        elect=_word(environment, "LEADER_ELECTION", ("true", "false"), "true") == "true",
        max_rolls=_count(environment, "MAX_ROLLS", 10, 1_000_000),
        healing_per_domain=_count(environment, "HEALING_PER_DOMAIN", 1, 1_000_000, least=0),
        healing_in_all=_count(environment, "HEALING_IN_ALL", 3, 1_000_000, least=0),
        certificate_hours=_number(environment, "CERTIFICATE_HOURS", 90 * 24, 0.001),
        spread_s=_number(environment, "SPREAD_SECONDS", 600, 0),
        pull_secrets=_secrets(environment, "IMAGE_PULL_SECRETS"),
        restrictions=msgspec.structs.replace(
            _restrictions(environment), own_images=frozenset({node_image, redis_image})
        ),
    )
