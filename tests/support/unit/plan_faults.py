"""What goes wrong in the small world of the plan (plan_world.py), and what people do there. Never
so much that the majority's disks are gone."""

from __future__ import annotations

from countercluster_operator.decide.quorum import quorum

from tests.support.unit.plan_parts import Disk
from tests.support.unit.plan_world import World


def fault(world: World) -> None:
    """One thing goes wrong, or somebody edits the spec."""
    kind = world.random.random()
    ordinal = world.random.choice(list(world.pods)) if world.pods else None
    if world.manifests and world.random.random() < 0.1:
        world.apply(world.random.choice(world.manifests))
        return
    world.manifests.append(world.manifest())
    _beside(world)
    if kind < 0.15:
        _machine_fault(world)
    elif kind < 0.35 and ordinal is not None:
        old = world.pods[ordinal]
        if not old.ending and not old.dark:
            world.pods[ordinal] = world.machine(ordinal, old.revision, world.random.randint(1, 4))
    elif kind < 0.45 and ordinal is not None:
        voters = world.voters()
        left = world.active() - {world.disks[ordinal].node_id}
        if len(left) >= quorum(len(voters)) and len(voters) > 2:
            world.disks[ordinal] = Disk(world.new_id())
            world.pods.pop(ordinal)
    elif kind < 0.65:
        world.replicas = world.random.choice([1, 2, 3, 4, 5, 7])
    elif kind < 0.8:
        world.revision = f"r{world.random.randint(1, 10_000)}"
    elif kind < 0.85:
        world.revision = f"bad{world.random.randint(1, 10_000)}"
        world.bad_revisions.add(world.revision)
    elif kind < 0.87:
        world.hibernated = not world.hibernated
    elif kind < 0.9:
        world.maintenance = "" if world.maintenance else f"c-{world.random.randint(0, 4)}"
    elif kind < 0.92:
        world.supervised = not world.supervised
    elif kind < 0.93:
        world.retain = "Retain" if world.retain == "Delete" else "Delete"
        world.keep = world.random.choice(["Delete", "Retain"])
    elif kind < 0.95 and ordinal is not None:
        world.pods[ordinal].stray = True
    else:
        world.set_replicas = None  # the StatefulSet is deleted, often its pods with it
        if world.random.random() < 0.6:
            world.pods.clear()
        world.overlooked = {world.random.randrange(3)}


def _beside(world: World) -> None:
    """What may go wrong beside anything else."""
    if world.random.random() < 0.1:
        world.refused = True
    if world.random.random() < 0.1:
        world.orphan()
    silence = world.random.choice([0, 0, 0.5])
    world.unheard = {o for o in world.pods if world.random.random() < silence}


def _machine_fault(world: World) -> None:
    """Never so much that a majority's volumes are on machines that do not serve."""
    used = [world.hosts[d.host] for d in world.disks.values() if d.host]
    host = world.random.choice(used or list(world.hosts.values()))
    kind = world.random.random()
    if kind < 0.3:
        host.full = not host.full
    elif kind < 0.5:
        world.mend()
    elif kind < 0.6:
        world.readable, world.may_keep = world.random.random() < 0.5, world.random.random() < 0.5
    else:
        together = (
            [h for h in world.hosts.values() if h.zone == host.zone] if kind > 0.85 else [host]
        )
        lost = {h.name for h in together} | {h.name for h in world.hosts.values() if not h.serves}
        voters = world.voters()
        left = [i for i in world.active() if world.disks[world.members[i][0]].host not in lost]
        if len(left) >= quorum(len(voters)) and len(voters) > 2:
            dark, gone = world.random.random() < 0.8, kind < 0.7
            for each in together:
                world.lose(each.name, dark=dark, gone=gone)
            if len(together) > 1:
                world.returning.add(host.zone)
