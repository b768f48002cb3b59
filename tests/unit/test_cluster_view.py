"""What a node shows of its cluster while it knows no leader: never itself as the master."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from counter_node.raft.types import NONE, Member
from counter_node.views.cluster_view import View

ME = 2


def member(number: int) -> Member:
    return Member(number, f"n-{number}", f"h{number}:1", f"h{number}:6379", True)


def view(*, voters: int = 3, reached: frozenset[int] = frozenset()) -> tuple[View, Any]:
    """Of node 2; and its raft core, whose leader the test sets."""
    members = [member(n) for n in range(1, voters + 1)]
    known = SimpleNamespace(members=members, get={m.id: m for m in members}.get)
    log = SimpleNamespace(committed=5)
    raft = SimpleNamespace(leader=NONE, term=3, leadership=None, log=log, membership=known)
    links = SimpleNamespace(link=lambda n: SimpleNamespace(reached=n in reached))
    replica = SimpleNamespace(raft=raft, is_leader=False)
    node: Any = SimpleNamespace(id=ME, peers=links, replica=replica)
    return View(node, 1), raft


def master(of: View) -> list[str]:
    return [node.host for node in of.nodes() if node.leads]


def test_the_last_leader_is_shown_while_there_is_none() -> None:
    shown, raft = view()
    raft.leader = 3
    shown.look()
    raft.leader = NONE
    assert master(shown) == ["h3"]
    assert shown.elsewhere() is None, "it may lead again in a moment"


def test_a_node_that_leads_no_more_shows_another_and_sends_there() -> None:
    """One of those that it does not reach: the others may be cut off together with it."""
    shown, raft = view(voters=5, reached=frozenset({1, 3}))
    raft.leader = ME
    shown.look()
    assert shown.elsewhere() is None
    assert master(shown) == ["h2"]
    raft.leader = NONE
    assert shown.elsewhere() == ("h4", 6380)
    assert master(shown) == ["h4"]
    assert len(shown.nodes()) == 5
    raft.leader = 1
    assert (shown.elsewhere(), master(shown)) == (None, ["h1"])


def test_a_node_that_was_just_started_knows_nothing_and_sends_nowhere() -> None:
    """All nodes of a cluster may be started at once: they would send clients round in circles."""
    shown, _ = view()
    assert shown.elsewhere() is None
    assert master(shown) == ["h1"]


def test_the_only_voter_has_nowhere_to_send() -> None:
    shown, raft = view(voters=1)
    raft.membership.members[0] = member(ME)
    raft.leader = ME
    shown.look()
    raft.leader = NONE
    assert shown.elsewhere() is None
    assert master(shown) == ["h2"]
