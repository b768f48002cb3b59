"""A CounterCluster's credentials, made up."""

from __future__ import annotations

import datetime

from countercluster_operator.credentials.certificates import Authority, Pair
from countercluster_operator.credentials.issued import Credentials
from countercluster_operator.credentials.secured import Secured

PAIR = Pair(b"a certificate", b"a key")

MATERIAL = Credentials(
    authority=Authority(
        Pair(b"an authority", b"its key"), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    ),
    nodes=PAIR,
    cache=PAIR,
    admin=PAIR,
    password="a-password",
    published="a-password",
    cache_password="the-nodes-password",
)

SECURED = Secured(MATERIAL)
