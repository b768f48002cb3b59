"""Tables: one situation a test, and the one step (or the reason to wait) that plan() must answer
with."""

from __future__ import annotations

import dataclasses

from countercluster_operator.decide.plan import plan
from countercluster_operator.decide.steps import Plan
from countercluster_operator.model import Cluster, Healing, Recovery, Spec, Storage
from countercluster_operator.world.machines import Loss
from countercluster_operator.world.observed import Claim, NodeStatus, Observed, Pod

from tests.support.unit.situations import (
    NEW,
    change,
    cluster,
    formed,
    kill,
    node,
    outdated,
    waiting_pod,
    with_spec,
)


def did(found: Plan) -> tuple[str, str] | None:
    return None if found.step is None else (found.step.kind, found.step.pod)


def going(found: Plan) -> tuple[int, ...]:
    """Ordinals of the claims that are deleted."""
    return tuple(claim.ordinal for claim in found.excess_claims)


def step(replicas: int, seen: Observed) -> tuple[str, str] | None:
    return did(plan(cluster(replicas), seen))


def test_a_healthy_cluster_is_left_alone() -> None:
    assert plan(cluster(), formed()).settled
    assert plan(cluster(), formed(set_idle_s=1e6)).settled


def test_a_statefulset_that_rests_although_a_pod_is_missing_is_touched() -> None:
    """Found on kind in CI: the controller tried again after minutes only, as it had tried in vain
    too often."""
    seen = formed()
    seen = dataclasses.replace(seen, pods=seen.pods[:2])
    assert step(3, dataclasses.replace(seen, set_idle_s=9.0)) is None
    assert step(3, dataclasses.replace(seen, set_idle_s=10.0)) == ("TouchStatefulSet", "")
    assert step(3, change(formed(set_idle_s=10.0), 2, terminating=True, ready=False)) is None, (
        "the pod is still there"
    )
    assert plan(cluster(2), formed(2, set_replicas=3, set_idle_s=10.0)).settled, (
        "nobody wants it any more"
    )


# --- forming --------------------------------------------------------------------------------------


def test_who_forms_the_cluster_is_recorded_before_it_is_asked_to() -> None:
    empty = Observed(tuple(waiting_pod(o) for o in range(3)), 3, True, NEW)
    assert step(3, empty) == ("RecordBootstrap", "c-0")
    assert step(3, dataclasses.replace(empty, bootstrap=("c-0", node(0)))) == ("Bootstrap", "c-0")


def test_a_cluster_is_not_formed_while_a_pod_is_silent() -> None:
    found = plan(cluster(), Observed(tuple(waiting_pod(o) for o in range(2)), 3, True, NEW))
    assert found.step is None
    assert "c-2" in found.waiting


def test_a_recorded_node_that_lost_its_disk_never_lets_another_form_the_cluster() -> None:
    seen = Observed(
        tuple(waiting_pod(o) for o in range(3)), 3, True, NEW, bootstrap=("c-0", "another id")
    )
    found = plan(cluster(), seen)
    assert found.step is None
    assert found.waiting


def test_volumes_that_hold_a_cluster_are_taken_over() -> None:
    assert step(3, formed(leader=1, bootstrap=None)) == ("RecordBootstrap", "c-1")


def test_some_volumes_with_members_and_some_empty_do_not_form_a_cluster() -> None:
    pods = (
        waiting_pod(0),
        waiting_pod(1),
        Pod("c-2", 2, running=True, revision=NEW, status=NodeStatus("id2", "follower")),
    )
    found = plan(cluster(), Observed(pods, 3, True, NEW))
    assert found.step is None
    assert "elect" in found.waiting


# --- growing and shrinking ------------------------------------------------------------------------


def test_a_new_pod_joins_as_a_learner_and_then_becomes_a_voter() -> None:
    assert step(3, formed(members=1)) == ("AddLearner", "c-1")
    assert step(3, formed(members=2, learners=(1,))) == ("Promote", "c-1")


def test_the_highest_ordinal_leaves_first() -> None:
    assert step(3, formed(5)) == ("RemoveMember", "c-4")


def test_a_leader_that_is_to_leave_hands_over_first() -> None:
    assert step(3, formed(5, leader=4)) == ("Transfer", "c-4")


def test_a_pod_stays_until_its_member_has_left() -> None:
    assert plan(cluster(3), formed(5)).replicas == 5
    assert plan(cluster(3), formed(5, members=3)).replicas == 3


def test_nobody_leaves_when_the_others_would_have_no_majority() -> None:
    seen = kill(kill(formed(5), 1), 2)
    found = plan(cluster(3), seen)
    assert found.step is None
    assert "majority" in found.waiting


def test_claims_go_only_without_their_pod_and_never_without_a_leader() -> None:
    seen = formed(3, claims=tuple(Claim(o) for o in range(5)))
    assert going(plan(cluster(), seen)) == (3, 4)
    still_there = dataclasses.replace(seen, pods=(*seen.pods, Pod("c-3", 3, terminating=True)))
    assert going(plan(cluster(), still_there)) == (4,)
    headless = dataclasses.replace(kill(seen, 0), target=3)
    assert going(plan(cluster(), headless)) == ()


def test_an_edit_waits_for_the_member_in_flight() -> None:
    assert plan(cluster(4), formed(5, members=3, learners=(2,), target=3)).target == 3
    assert plan(cluster(4), formed(5, members=3, target=3)).target == 4


# --- disks ----------------------------------------------------------------------------------------


def test_a_member_whose_disk_is_gone_leaves_by_its_old_id() -> None:
    seen = change(formed(), 2, ready=False, status=NodeStatus("fresh", "waiting"))
    found = plan(cluster(), seen)
    assert did(found) == ("RemoveMember", "c-2")
    assert found.step is not None
    assert found.step.node_id == node(2)


def test_a_lost_disk_waits_for_a_majority() -> None:
    seen = change(kill(formed(), 1), 2, ready=False, status=NodeStatus("fresh", "waiting"))
    found = plan(cluster(), seen)
    assert found.step is None
    assert "no majority" in found.waiting


def test_the_data_of_a_removed_member_is_replaced() -> None:
    seen = formed(members=2)
    assert step(3, change(seen, 2, ready=False, status=NodeStatus(node(2), "removed", 3))) == (
        "ReplaceDisk",
        "c-2",
    )


def test_a_node_of_a_newer_term_than_the_leader_keeps_its_disk() -> None:
    seen = formed(members=2)
    found = plan(cluster(), change(seen, 2, ready=False, status=NodeStatus(node(2), "follower", 9)))
    assert found.step is None or found.step.kind != "ReplaceDisk"


# --- rolling --------------------------------------------------------------------------------------


def test_followers_restart_from_the_highest_ordinal_down() -> None:
    assert step(3, outdated(formed(leader=2), 0, 1, 2)) == ("DeletePod", "c-1")
    assert step(3, outdated(formed(leader=2), 0, 2)) == ("DeletePod", "c-0")


def test_the_leader_restarts_last_and_hands_over_first() -> None:
    assert step(3, outdated(formed(leader=2), 2)) == ("Transfer", "c-2")
    assert step(1, outdated(formed(1), 0)) == ("DeletePod", "c-0")


def test_an_outdated_pod_that_does_not_run_goes_before_all_others() -> None:
    seen = kill(outdated(formed(leader=2), 0, 1, 2), 0, trouble="ImagePullBackOff")
    assert step(3, seen) == ("DeletePod", "c-0")


def test_a_bad_image_stops_the_roll_at_the_first_pod_and_rolling_back_mends_it() -> None:
    bad = kill(outdated(formed(), 0, 1), 2, trouble="ErrImagePull")
    found = plan(cluster(), bad)
    assert found.step is None
    assert "ErrImagePull" in found.waiting
    back = dataclasses.replace(
        change(change(bad, 0, revision="back"), 1, revision="back"), revision="back"
    )
    assert step(3, back) == ("DeletePod", "c-2")


def test_the_next_pod_waits_until_the_last_one_has_caught_up() -> None:
    seen = outdated(formed(), 0, 1)
    late = []
    for pod in seen.pods:
        assert pod.status is not None
        members = tuple(
            dataclasses.replace(m, match_index=5) if m.node_id == node(2) else m
            for m in pod.status.members
        )
        late.append(
            dataclasses.replace(
                pod, status=dataclasses.replace(pod.status, last_index=1000, members=members)
            )
        )
    found = plan(cluster(), dataclasses.replace(seen, pods=tuple(late)))
    assert found.step is None
    assert "catch up" in found.waiting


def test_nothing_rolls_before_the_statefulset_controller_has_seen_the_template() -> None:
    assert step(3, outdated(formed(set_current=False), 0, 1, 2)) is None


def test_nothing_is_done_without_a_leader() -> None:
    found = plan(cluster(5), kill(outdated(formed(), 1, 2), 0))
    assert found.step is None
    assert "no leader" in found.waiting


# --- volumes --------------------------------------------------------------------------------------


def test_more_volumes_than_replicas_all_get_their_pod_before_a_cluster_is_formed() -> None:
    kept = tuple(Claim(o, owned=False) for o in range(5))
    assert plan(cluster(1), Observed(claims=kept)).replicas == 5
    partly = Observed((waiting_pod(0),), 5, True, NEW, claims=kept)
    assert "c-4" in plan(cluster(1), partly).waiting  # its volume may hold a member
    unscheduled = (*kept[:3], Claim(3, bound=False))
    assert plan(cluster(3), Observed(claims=unscheduled)).replicas == 3


def test_the_stateful_set_is_made_again_when_all_claims_have_grown() -> None:
    wanted = Cluster(
        "c", "ns", "uid", 1, Spec(replicas=3, storage=Storage(size="2Gi")), "image", "redis"
    )
    small = formed(template_size="1Gi")
    assert plan(wanted, small).waiting == "enlarging data-c-0, data-c-1, data-c-2 to 2Gi"
    grown = dataclasses.replace(small, claims=tuple(Claim(o, size="2Gi") for o in range(3)))
    assert did(plan(wanted, grown)) == ("RenewStatefulSet", "")
    assert plan(wanted, dataclasses.replace(grown, template_size="2048Mi")).settled


def test_claims_that_cannot_grow_do_not_keep_a_template_from_being_rolled() -> None:
    wanted = Cluster(
        "c", "ns", "uid", 1, Spec(replicas=3, storage=Storage(size="2Gi")), "image", "redis"
    )
    assert did(plan(wanted, outdated(formed(template_size="1Gi"), 1))) == ("DeletePod", "c-1")


# --- day 2 ----------------------------------------------------------------------------------------


def test_a_machine_that_is_lost_costs_its_member_after_the_time_it_is_given() -> None:
    seen = kill(formed(), 2, terminating=True, loss=Loss(200.0, "gone", "m"))
    assert plan(cluster(), seen).step is None
    assert did(plan(cluster(), change(seen, 2, loss=Loss(301.0, "gone", "m")))) == (
        "RemoveMember",
        "c-2",
    )
    assert did(plan(with_spec(healing=Healing(100)), seen)) == ("RemoveMember", "c-2")
    assert (
        plan(with_spec(healing=Healing(0)), change(seen, 2, loss=Loss(1e6, "gone", "m"))).step
        is None
    )
    assert (
        plan(with_spec(maintenance="c-2"), change(seen, 2, loss=Loss(1e6, "gone", "m"))).step
        is None
    )
    lost = Loss(301.0, "gone", "m")
    left = dataclasses.replace(
        change(seen, 2, loss=lost),
        pods=kill(formed(members=2), 2, terminating=True, loss=lost).pods,
    )
    assert did(plan(cluster(), left)) == ("ReplaceDisk", "c-2"), "only when its member has left"


def test_a_lost_machine_whose_loss_costs_the_majority_is_waited_for() -> None:
    seen = kill(kill(formed(), 1), 2, terminating=True, loss=Loss(1e6, "gone", "m"))
    found = plan(cluster(), seen)
    assert found.step is None
    assert "no majority" in found.waiting


def test_a_volume_that_lies_elsewhere_does_not_count_as_lost_while_its_node_answers() -> None:
    assert plan(cluster(), change(formed(), 2, loss=Loss(1e6, "gone", "m"))).settled


def test_a_roll_says_at_which_pod_it_stopped() -> None:
    found = plan(cluster(), kill(outdated(formed(), 0, 1), 2, trouble="ErrImagePull"))
    assert found.warning is not None
    assert found.warning[0] == "RollStalled"
    assert "c-2" in found.waiting
    assert "ErrImagePull" in found.waiting


def headless(*, alive: tuple[int, ...], last: dict[int, int] | None = None) -> Observed:
    """Formed once; of three only these answer, and none leads."""
    seen = formed()
    pods = []
    for pod in seen.pods:
        if pod.ordinal in alive:
            index = (last or {}).get(pod.ordinal, 100)
            pods.append(
                dataclasses.replace(
                    pod,
                    ready=False,
                    status=NodeStatus(node(pod.ordinal), "follower", 3, "", index, index),
                )
            )
    return dataclasses.replace(seen, pods=tuple(pods))


def test_a_lost_majority_is_reported_with_who_is_missing_and_nothing_is_done() -> None:
    found = plan(cluster(), headless(alive=(1,)))
    assert found.step is None
    assert found.warning is not None
    assert found.warning[0] == "QuorumLost"
    assert "2 of 3 voters do not answer: c-0 (its pod is not there), c-2" in found.waiting
    assert plan(cluster(), headless(alive=(0, 1))).warning is None, (
        "they are about to elect a leader"
    )


def test_a_majority_that_is_away_with_its_zone_is_reported_with_the_outage() -> None:
    """The kubelet that could say that a pod does not run any more is away as well."""
    outage = "m1 is not ready; 2 of 2 machines of zone a are not ready, which is an outage"
    silent = change(
        change(formed(), 0, status=None, loss=Loss(0.0, outage, "a")),
        2,
        status=None,
        loss=Loss(0.0, outage, "a"),
    )
    headed = change(silent, 1, status=NodeStatus(node(1), "follower", 3, "", 100, 100))
    found = plan(cluster(), headed)
    assert found.step is None
    assert found.warning is not None
    assert (found.warning[0], outage in found.warning[1]) == ("QuorumLost", True)
    assert "runs and does not answer" not in found.waiting


def test_a_recovery_names_a_survivor_that_answers() -> None:
    assert did(plan(with_spec(recovery=Recovery(node(1))), headless(alive=(1,)))) == (
        "Recover",
        "c-1",
    )
    assert (
        "there are id1 (c-1)"
        in plan(with_spec(recovery=Recovery("nobody")), headless(alive=(1,))).waiting
    )


def test_a_recovery_is_refused_for_a_survivor_that_lacks_what_another_knows_to_be_committed() -> (
    None
):
    five = dataclasses.replace(
        headless(alive=(0, 1), last={0: 50, 1: 90}),
        recorded_voters=tuple(node(o) for o in range(5)),
    )
    found = plan(with_spec(recovery=Recovery(node(0))), five)
    assert found.step is None
    assert "name id1" in found.waiting
    assert did(plan(with_spec(recovery=Recovery(node(1))), five)) == ("Recover", "c-1")


def test_a_recovery_is_not_carried_out_while_a_majority_answers_nor_a_second_time() -> None:
    wanted = with_spec(recovery=Recovery(node(1)))
    assert plan(wanted, headless(alive=(0, 1))).step is None
    assert plan(wanted, formed()).recovered == node(1), "void"
    again = dataclasses.replace(headless(alive=(1,)), recovered=node(1))
    assert plan(wanted, again).step is None


def test_hibernation_keeps_claims_and_members() -> None:
    found = plan(
        with_spec(hibernated=True),
        dataclasses.replace(formed(), claims=tuple(Claim(o) for o in range(5))),
    )
    assert (found.replicas, found.excess_claims, found.step) == (0, (), None)
    asleep = dataclasses.replace(formed(), pods=(), set_replicas=0)
    assert plan(with_spec(hibernated=True), asleep).settled
    assert plan(with_spec(replicas=1), asleep).replicas == 3, "every member gets its pod first"
