"""The operator's settings, each from one environment variable."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


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
    healing_per_domain: int = 1  # HEALING_PER_DOMAIN: members given up at the same time in one zone (without zones: machine), over all clusters
    healing_in_all: int = 3  # HEALING_IN_ALL: and in all
    certificate_hours: float = 90 * 24  # CERTIFICATE_HOURS: life of a certificate; it is made anew after two thirds
    spread_s: float = 600  # SPREAD_SECONDS: a phase of a change of authority lasts at least so long


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    own = environment.get("POD_NAMESPACE") or (_NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "countercluster-system")
    return Settings(
        node_image=environment.get("RELATED_IMAGE_NODE", "countercluster/node:dev"),
        redis_image=environment.get("RELATED_IMAGE_REDIS", "countercluster/redis:dev"),
        namespaces=tuple(n.strip() for n in environment.get("WATCH_NAMESPACES", "").split(",") if n.strip()),
        own_namespace=own,
        identity=environment.get("POD_NAME") or socket.gethostname(),
        health_port=int(environment.get("HEALTH_PORT", "8080")),
        workers=int(environment.get("WORKERS", "4")),
        log_level=environment.get("LOG_LEVEL", "info"),
        elect=environment.get("LEADER_ELECTION", "true").lower() == "true",
        max_rolls=int(environment.get("MAX_ROLLS", "10")),
        healing_per_domain=int(environment.get("HEALING_PER_DOMAIN", "1")),
        healing_in_all=int(environment.get("HEALING_IN_ALL", "3")),
        certificate_hours=float(environment.get("CERTIFICATE_HOURS", 90 * 24)),
        spread_s=float(environment.get("SPREAD_SECONDS", 600)),
    )
