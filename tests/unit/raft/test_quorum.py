"""Majority arithmetic against a naive version of itself."""

from __future__ import annotations

from counter_node.raft.quorum import VoteResult, acknowledged, majority, vote_result
from hypothesis import given
from hypothesis import strategies as st

voters = st.frozensets(st.integers(1, 9), min_size=1, max_size=7)


@given(voters, st.dictionaries(st.integers(1, 9), st.integers(0, 20)))
def test_acknowledged_is_the_highest_position_that_a_majority_reached(
    ids: frozenset[int], acks: dict[int, int]
) -> None:
    naive = max(p for p in range(21) if sum(acks.get(v, 0) >= p for v in ids) >= majority(len(ids)))
    assert acknowledged(ids, acks) == naive


@given(voters, st.dictionaries(st.integers(1, 9), st.booleans()))
def test_an_election_is_decided_when_the_open_votes_cannot_change_it(
    ids: frozenset[int], votes: dict[int, bool]
) -> None:
    counted = [votes[v] for v in ids if v in votes]
    won_if_all_others_grant = counted.count(True) + len(ids) - len(counted) >= majority(len(ids))
    won_already = counted.count(True) >= majority(len(ids))
    expected = (
        VoteResult.WON
        if won_already
        else VoteResult.PENDING
        if won_if_all_others_grant
        else VoteResult.LOST
    )
    assert vote_result(ids, votes) is expected


@given(voters, voters)
def test_two_majorities_of_configurations_that_differ_by_one_always_meet(
    a: frozenset[int], b: frozenset[int]
) -> None:
    if len(a ^ b) <= 1:
        assert majority(len(a)) + majority(len(b)) > len(a | b)
