"""Whom the admin port obeys: the operator and the node itself, by the whole name and by no
beginning of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from counter_node.security.tls import Tls

from tests.support.certificates import Folder


@pytest.mark.parametrize(
    ("uri", "admitted"),
    [
        ("shop/client/operator", True),
        ("shop/node/node-0", True),
        ("shop/node/node-1", False),
        ("shop/client/app", False),
        ("shop/client/operator2", False),
        ("shop/client/operator/", False),
        ("shop/clicks/client/operator", False),  # of cluster `shop/clicks`
        ("shop", False),
        ("shop/", False),
        ("SHOP/client/operator", False),
        ("shops/client/operator", False),
    ],
)
def test_a_certificate_administers_by_its_whole_name(
    tmp_path: Path, uri: str, admitted: bool
) -> None:
    tls = Tls(Folder(tmp_path, 1, cluster="shop").path, "shop", "node-0")
    assert tls.administers({"subjectAltName": (("URI", f"countercluster://{uri}"),)}) is admitted


def test_who_shows_no_name_or_the_name_elsewhere_does_not_administer(tmp_path: Path) -> None:
    tls = Tls(Folder(tmp_path, 1, cluster="shop").path, "shop", "node-0")
    assert not tls.administers(None)
    assert not tls.administers(
        {"subjectAltName": (("DNS", "countercluster://shop/client/operator"),)}
    )
