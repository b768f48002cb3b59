"""What a CounterCluster makes for Prometheus: nothing that cannot be while Prometheus Operator is
not installed, everything once it is, and nothing again when it is switched off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver.world import World, world

CRDS = Path(__file__).resolve().parents[1] / "support" / "prometheus_operator.yaml"
MONITORING = "/apis/monitoring.coreos.com/v1/namespaces/shop"
PATHS = (
    f"{MONITORING}/podmonitors/clicks",
    f"{MONITORING}/prometheusrules/clicks",
    "/api/v1/namespaces/shop/configmaps/clicks-dashboard",
)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as found, found.operator().kept():
        found.server.namespace("shop")
        yield found


def there(here: World) -> list[bool]:
    return [here.server.request("GET", path).status == 200 for path in PATHS]


def test_it_comes_and_goes_with_the_setting_and_with_prometheus_operator(here: World) -> None:
    here.cluster("shop", "clicks")
    here.wait_ready("shop", "clicks")
    assert there(here) == [False, False, False]

    here.edit("shop", "clicks", monitoring={"enabled": True, "labels": {"release": "prom"}})
    here.wait("the dashboard is there", lambda: there(here) == [False, False, True])
    here.wait_ready("shop", "clicks")  # what cannot be made is no trouble

    here.server.install(CRDS)
    here.wait("Prometheus Operator is noticed", lambda: there(here) == [True, True, True], 200)
    here.wait_ready("shop", "clicks")
    monitor = here.server.get(PATHS[0])
    assert monitor["metadata"]["labels"]["release"] == "prom"
    assert monitor["metadata"]["ownerReferences"][0]["name"] == "clicks"

    here.edit("shop", "clicks", monitoring={"enabled": False})
    here.wait("all is gone", lambda: there(here) == [False, False, False], 30)
