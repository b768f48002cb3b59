"""Breakages of the operator: what it heals, gives out, deletes and refuses."""

from __future__ import annotations

import math
import re
from typing import Any

from countercluster_operator import model, room
from countercluster_operator.apply import act, children
from countercluster_operator.apply.act import Act
from countercluster_operator.apply.children import Children
from countercluster_operator.apply.contests import Contests
from countercluster_operator.credentials import fitness, store, users
from countercluster_operator.credentials.certificates import Authority
from countercluster_operator.decide import healing, restrictions
from countercluster_operator.resources import claims
from countercluster_operator.run import budget
from countercluster_operator.run.budget import Budget
from countercluster_operator.run.runtime import Runtime
from countercluster_operator.run.throttle import Throttle
from countercluster_operator.world import machines, trouble
from countercluster_operator.world.belongings import Belongings
from countercluster_operator.world.machines import Loss, Machines

from tests.mutations.breakage import Patch, mutation


@mutation(
    "another authority is trusted alone at once", tests=("tests/unit/security/test_issued.py",)
)
def authority_without_overlap(patch: Patch) -> None:
    patch(Authority, "bundle", property(lambda self: (self.next or self.signing).certificate))


@mutation(
    "a Secret of certificates is used as it is", tests=("tests/unit/security/test_fitness.py",)
)
def unfit_certificates_are_used(patch: Patch) -> None:
    patch(fitness, "_names", lambda *_: [])
    patch(fitness, "_usages", lambda *_: [])


@mutation(
    "a new password is given out before the nodes know it",
    tests=("tests/unit/operator/test_reconcile_secrets.py",),
)
def password_given_out_early(patch: Patch) -> None:
    patch(store, "users_known", lambda *_: True)


@mutation("rules of users are not judged", tests=("tests/unit/security/test_users.py",))
def rules_not_judged(patch: Patch) -> None:
    patch(users, "fault_of", lambda *_: "")


@mutation(
    "what the scheduler says makes a member lost", tests=("tests/unit/operator/test_plan_world.py",)
)
def loss_by_the_schedulers_word(patch: Patch) -> None:
    def loss(self: Machines, pod: Any, claim: Any, volume: Any) -> Loss:
        placed = all(c["type"] != "PodScheduled" for c in pod["status"]["conditions"])
        return Loss() if placed else Loss(1e6, "out of reach", "anywhere")

    patch(Machines, "loss", loss)


@mutation("an outage of a zone is many losses", tests=("tests/unit/operator/test_plan_world.py",))
def outage_taken_for_losses(patch: Patch) -> None:
    patch(Machines, "_outage", lambda self, domain: "")


@mutation("a retained volume goes with its claim", tests=("tests/unit/operator/test_giving_up.py",))
def retained_volume_deleted(patch: Patch) -> None:
    patch(healing, "_withheld", lambda cluster, seen, pod: None)


@mutation(
    "any number of members is given up at once", tests=("tests/unit/operator/test_budget.py",)
)
def healing_without_a_budget(patch: Patch) -> None:
    patch(Budget, "refusal", lambda self, key, domain, silent: "")


@mutation(
    "a cluster that never becomes whole keeps its place in the healing budget",
    tests=("tests/unit/operator/test_budget.py",),
)
def place_for_ever(patch: Patch) -> None:
    patch(budget, "HOLD_S", math.inf)


@mutation(
    "a pass goes on after the Lease is lost", tests=("tests/unit/operator/test_standing_by.py",)
)
def work_without_the_lease(patch: Patch) -> None:
    async def stand_by(self: Runtime, _work: Any) -> None:
        self._reconciler, self._workers = None, []

    patch(Runtime, "_stand_by", stand_by)


@mutation(
    "one namespace takes every place of the rolls", tests=("tests/unit/operator/test_throttle.py",)
)
def rolls_of_one_tenant(patch: Patch) -> None:
    def full(self: Throttle, _key: Any) -> str:
        taken = len(self._inside)
        return "all places are taken" if taken >= self._places else ""

    patch(Throttle, "full", full)


@mutation(
    "a claim is believed about the volume that it names",
    tests=("tests/unit/operator/test_machines.py", "tests/unit/operator/test_giving_up.py"),
)
def volumes_of_others(patch: Patch) -> None:
    patch(machines, "is_of", lambda *_: True)
    patch(act, "is_of", lambda *_: True)


@mutation(
    "after an outage the time that a machine is given does not begin again",
    tests=("tests/unit/operator/test_machines.py",),
)
def no_calm_after_an_outage(patch: Patch) -> None:
    patch(Machines, "_calm_since", lambda self, domain: None)


@mutation(
    "what the API server refuses ends the pass", tests=("tests/unit/operator/test_refusals.py",)
)
def refusal_ends_the_pass(patch: Patch) -> None:
    def note(
        self: Children, key: Any, wish: str, what: str, error: BaseException, kept: Any
    ) -> None:
        raise error

    patch(Children, "_note", note)


@mutation(
    "an image that the spec named is used for ever",
    tests=("tests/unit/operator/test_taking_back.py",),
)
def named_image_remembered(patch: Patch) -> None:
    patch(
        model,
        "_chosen",
        lambda status, spec, image, cache: (
            status.get("image") or image,
            status.get("cacheImage") or cache,
        ),
    )


@mutation(
    "settings that come to more than the memory are let through",
    tests=("tests/unit/operator/test_room.py",),
)
def more_than_the_memory(patch: Patch) -> None:
    patch(room, "too_much", lambda resources, client_mib, state_mib: "")


@mutation(
    "a recovery of long ago is done again when it is not remembered",
    tests=("tests/unit/operator/test_plan_world.py",),
)
def recovery_without_looking(patch: Patch) -> None:
    patch(healing, "_not_seen", lambda seen, answering: "")


@mutation(
    "what the administrator does not allow is applied",
    tests=("tests/unit/operator/test_restrictions.py",),
)
def nothing_is_outside(patch: Patch) -> None:
    patch(restrictions, "outside", lambda cluster, allowed: [])


@mutation(
    "an allowed image is a bare beginning", tests=("tests/unit/operator/test_restrictions.py",)
)
def images_by_prefix(patch: Patch) -> None:
    patch(restrictions, "begins", lambda image, word: image.startswith(word))


@mutation(
    "a size that is not applied costs members", tests=("tests/unit/operator/test_restrictions.py",)
)
def refused_size_is_planned(patch: Patch) -> None:
    patch(restrictions, "as_it_runs", lambda cluster, seen, old, withheld: cluster)


@mutation(
    "whatever has a member's name is taken for its own, where labels are on too many objects",
    tests=("tests/unit/operator/test_belongings.py",),
)
def a_name_is_enough(patch: Patch) -> None:
    patch(Belongings, "_is_ours", lambda self, found: True)


@mutation(
    "labels on anybody's objects hide the members",
    tests=("tests/unit/operator/test_belongings.py",),
)
def crowds_hide_members(patch: Patch) -> None:
    async def nobody(self: Belongings, kind: str, own: list[str]) -> list[Any]:
        return []

    patch(Belongings, "_by_name", nobody)


@mutation(
    "an owner is put back while its CounterCluster is orphaned",
    tests=("tests/unit/operator/test_orphans.py",),
)
def owner_put_back(patch: Patch) -> None:
    async def there(*_: Any) -> None:
        pass

    patch(children, "ensure_there", there)


@mutation(
    "a child that somebody else changes each time is applied with each pass",
    tests=("tests/unit/operator/test_contests.py",),
)
def contested_without_end(patch: Patch) -> None:
    patch(Contests, "wrote", lambda *_: False)


@mutation(
    "what was said of a pod that is there by now is repeated",
    tests=("tests/unit/operator/test_trouble.py",),
)
def events_of_the_past(patch: Patch) -> None:
    patch(trouble, "_NAME", re.compile(r"(?!)"))


@mutation(
    "claims of an orphaned cluster are not taken over",
    tests=("tests/unit/operator/test_plan_world.py",),
)
def claims_left_without_owner(patch: Patch) -> None:
    patch(claims, "to_write", lambda *_: [])


@mutation(
    "a pod is restarted by the word of a leader that may be one no more",
    tests=("tests/unit/operator/test_reconcile.py",),
)
def terms_not_asked(patch: Patch) -> None:
    async def ensure(*_: Any) -> None:
        pass

    patch(Act, "_ensure_term", ensure)
