"""The machines of the small world of the plan (plan_world.py): kubelets, the scheduler, machines
that are lost and come back, and outages of zones."""

from __future__ import annotations

from tests.support.unit.plan_parts import Host
from tests.support.unit.plan_state import State

TICK_S = 100.0


class Hosts(State):
    """What becomes of pods where their machines are away."""

    def kubelets(self) -> None:
        """On a machine that is silent for long, pods should end, and on one that is gone from the
        API they are gone. The rest is as it is."""
        for ordinal, pod in list(self.pods.items()):
            host = self.hosts.get(pod.host)
            if host is None:
                continue
            if host.gone or (host.serves and pod.ending):
                del self.pods[ordinal]
            elif host.silent:
                pod.dark, pod.ending = (
                    pod.dark or host.dark,
                    pod.ending or self.time_s - host.since >= TICK_S,
                )
            elif pod.dark:
                pod.dark, pod.starts_in = False, 1

    def schedule(self) -> None:
        free = [h.name for h in self.hosts.values() if h.serves and not h.full]
        for pod in self.pods.values():
            if pod.host or pod.ordinal not in self.disks:
                continue
            disk = self.disks[pod.ordinal]
            wanted = disk.host or (self.random.choice(free) if free else "")
            if wanted in free:
                pod.host = disk.host = wanted

    def lose(self, host: str, *, dark: bool = True, gone: bool = False) -> None:
        """A machine goes: its kubelet falls silent, or its Node is deleted as well."""
        found = self.hosts[host]
        found.silent, found.dark, found.gone, found.since = True, dark or gone, gone, self.time_s

    def note_outages(self) -> None:
        """Of zones in which more than half of the machines that there are say nothing."""
        for zone in {h.zone for h in self.hosts.values()}:
            if self._is_out(zone):
                self.outages[zone] = self.time_s

    def _is_out(self, zone: str) -> bool:
        inside = [h for h in self.hosts.values() if h.zone == zone and not h.gone]
        return 2 * sum(h.silent for h in inside) > len(inside) > 1

    def return_one(self) -> None:
        """After an outage that lasted, the machines of a zone come back one after the other."""
        for zone in sorted(self.returning):
            silent = [h for h in self.hosts.values() if h.zone == zone and h.silent and not h.gone]
            if not silent:
                self.returning.discard(zone)
            elif self.random.random() < 0.2:
                host = self.random.choice(silent)
                host.silent = host.dark = False
                host.since = self.time_s

    def mend(self) -> None:
        """Every machine is there again; in the place of one that was taken away, a new one of
        another name."""
        for host in list(self.hosts.values()):
            if host.gone and f"{host.name}x" not in self.hosts:
                self.hosts[f"{host.name}x"] = Host(f"{host.name}x", host.zone)
            if not host.gone:
                host.silent = host.dark = host.full = False
                host.since = self.time_s
        self.readable = self.may_keep = True
        self.refused = False
