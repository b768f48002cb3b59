"""Certificates that an administrator gives."""

from __future__ import annotations

import datetime

from countercluster_operator.credentials.certificates import authority, leaf
from countercluster_operator.credentials.issued import wanted_names
from countercluster_operator.model import Auth, Cluster, Spec, Tls

from tests.support.unit.certificates import START

DAY = datetime.timedelta(days=1)


def cluster(tls: Tls | None = None, auth: Auth | None = None) -> Cluster:
    return Cluster(
        "clicks", "shop", "uid", 1, Spec(tls=tls or Tls(), auth=auth or Auth()), "image", "cache"
    )


def files(name: str) -> dict[str, bytes]:
    """A Secret of spec.tls.secretName."""
    signing = authority(name, START)
    pair = leaf(signing, wanted_names(cluster())["nodes"], START, 300 * DAY)
    return {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": signing.certificate}


GIVEN = {name: files(name) for name in ("one", "two")}
