"""Only so many members are given up at once, and nobody keeps the places for himself."""

from __future__ import annotations

from countercluster_operator.run.budget import HOLD_S, Budget

A, B, C, D = (("ns", name) for name in "abcd")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def quiet(_: str) -> bool:
    return False


def test_one_member_in_a_domain_and_three_in_all_are_given_up_at_once() -> None:
    budget = Budget(1, 3)
    assert budget.refusal(A, "z1", quiet) == ""
    assert budget.refusal(A, "z1", quiet) == "", "it goes on with what it began"
    assert "at most 1 at once in z1" in budget.refusal(B, "z1", quiet)
    assert "at most 1" in budget.refusal(B, "z1", quiet)
    assert budget.refusal(B, "z2", quiet) == ""
    assert budget.refusal(C, "z3", quiet) == ""
    assert "at most 3 at once in all" in budget.refusal(D, "z4", quiet)
    budget.release(A)
    assert budget.refusal(D, "z1", quiet) == ""


def test_a_zone_without_a_ready_machine_is_not_emptied_one_member_after_the_other() -> None:
    clock = Clock()
    budget, dark = Budget(1, 3, clock), {"z1"}
    assert budget.refusal(A, "z1", dark.__contains__) == ""
    budget.release(A)
    assert "at most 1" in budget.refusal(B, "z1", dark.__contains__)
    assert "at most 1" in budget.refusal(A, "z1", dark.__contains__), "nor by the same cluster"
    clock.now = 2 * HOLD_S
    assert "at most 1" in budget.refusal(B, "z1", dark.__contains__), "however long it lasts"
    dark.clear()
    assert budget.refusal(B, "z1", dark.__contains__) == ""


def test_what_an_earlier_operator_began_counts_and_what_is_gone_does_not() -> None:
    budget = Budget(1, 3)
    budget.occupy(A, "z1")
    assert budget.refusal(B, "z1", quiet) != ""
    assert budget.refusal(A, "z1", quiet) == ""
    budget.forget(A)
    assert budget.refusal(B, "z1", quiet) == ""


def test_a_cluster_that_does_not_become_whole_keeps_others_waiting_for_a_time_only() -> None:
    """Its new pod finds no room, or its image does not start: that may last for ever."""
    clock = Clock()
    budget = Budget(1, 2, clock)
    for key, domain in ((A, "z1"), (B, "z2")):
        assert budget.refusal(key, domain, quiet) == ""
    clock.now = HOLD_S - 1
    budget.occupy(A, "z1")  # as each pass does
    assert budget.refusal(C, "z1", quiet) != ""
    assert budget.refusal(D, "z4", quiet) != ""
    clock.now = HOLD_S
    assert budget.refusal(C, "z1", quiet) == ""
    assert "at most 1" in budget.refusal(A, "z1", quiet), "it has to wait for its turn as well"


def test_a_namespace_with_many_clusters_does_not_keep_a_place_for_itself() -> None:
    clock = Clock()
    budget = Budget(1, 3, clock)
    many = [("tenant", f"c-{n}") for n in range(9)]
    assert budget.refusal(many[0], "z1", quiet) == ""
    clock.now = HOLD_S - 60
    assert budget.refusal(("shop", "a"), "z1", quiet) != ""
    clock.now = HOLD_S
    assert "has waited for longer" in budget.refusal(many[1], "z1", quiet)
    assert budget.refusal(many[2], "z2", quiet) == "", "where nobody else waits"
    assert budget.refusal(("shop", "a"), "z1", quiet) == ""
    clock.now = 2 * HOLD_S + 1
    assert budget.refusal(many[1], "z1", quiet) == "", "who asks no more is not waited for"
