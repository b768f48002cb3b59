"""Plans of simulated runs: how large the cluster is, what may happen in it, and how often."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """What may happen in the safety phase. Each rate is the mean time between two such events, in
    ms; 0 = never."""

    size: int = 3
    duration_ms: int = 15_000
    clients: int = 6
    leases: bool = False
    storage: bool = False  # the production storage on a disk in memory, instead of the model alone
    crash_ms: int = 1_500
    partition_ms: int = 2_000
    pause_ms: int = 2_500
    transfer_ms: int = 3_000
    snapshot_ms: int = 800
    membership_ms: int = 2_000
    skew_ms: int = 3_000
    zombie_ms: int = 3_000
    flicker_ms: int = 1_000
    disk_error_ms: int = 4_000
    flap_ms: int = 2_000
    full_disk_ms: int = 5_000
    overtake_ms: int = 6_000
    weather_ms: int = 1_000
    administrator_ms: int = 3_000
    slander_ms: int = 500
    last_resort_ms: int = 300
    storm_ms: int = 700
    tenant_ms: int = 250
    only: tuple[int, ...] | None = None  # numbers of the faults that happen; None: all

    def rates(self) -> dict[str, int]:
        """Kind of fault → its rate."""
        return {
            f.name.removesuffix("_ms"): getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name.endswith("_ms") and f.name != "duration_ms"
        }


PLANS = {
    "everything": Plan(),
    "storage": Plan(storage=True, duration_ms=10_000, crash_ms=700),
    "leases": Plan(leases=True),
    "five nodes": Plan(size=5, duration_ms=8_000),
    "one node": Plan(
        size=1,
        duration_ms=6_000,
        membership_ms=0,
        administrator_ms=0,
        transfer_ms=0,
        partition_ms=0,
        storage=True,
    ),
    "only crashes": Plan(
        crash_ms=400, partition_ms=0, pause_ms=0, zombie_ms=0, weather_ms=0, duration_ms=10_000
    ),
    "administrator": Plan(
        crash_ms=500, administrator_ms=250, membership_ms=0, weather_ms=0, duration_ms=8_000
    ),
    "only membership": Plan(crash_ms=3_000, membership_ms=300, snapshot_ms=300, duration_ms=10_000),
    "zombies": Plan(
        duration_ms=8_000,
        clients=10,
        zombie_ms=600,
        partition_ms=3_000,
        crash_ms=0,
        flicker_ms=0,
        membership_ms=0,
        administrator_ms=0,
        transfer_ms=0,
        disk_error_ms=0,
    ),
    "snapshots": Plan(
        storage=True,
        duration_ms=8_000,
        overtake_ms=700,
        snapshot_ms=200,
        full_disk_ms=1_500,
        crash_ms=3_000,
        membership_ms=0,
        disk_error_ms=0,
    ),
    "short": Plan(
        duration_ms=5_000,
        clients=4,
        crash_ms=600,
        partition_ms=1_000,
        pause_ms=1_200,
        transfer_ms=1_500,
        snapshot_ms=400,
        zombie_ms=1_500,
    ),
}
