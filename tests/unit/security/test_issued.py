"""What is secret about a cluster, over years and through losses: kept as it was, renewed when due;
nodes trust each other all the time."""

from __future__ import annotations

import dataclasses
import datetime

from countercluster_operator.credentials.certificates import SPREAD, Pair, authority, leaf
from countercluster_operator.credentials.issued import (
    EMPTY,
    OVERLAP,
    Credentials,
    Limits,
    adopted,
    dump,
    load,
    pair_of,
    renewed,
    wanted_names,
)
from countercluster_operator.model import Auth, Cluster, Tls
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.unit.certificates import MINUTE, START, trusts
from tests.support.unit.credentials import DAY, GIVEN, cluster, files


def made(wanted: Cluster | None = None, now: datetime.datetime = START) -> Credentials:
    return renewed(EMPTY, wanted or cluster(), now, spread_out=True)


def left_of(found: Credentials, nodes: tuple[bytes, Pair]) -> dict[str, dict[str, bytes]]:
    """The Secrets that were made from it."""
    pairs = {"nodes": nodes[1], "cache": found.cache}
    left = {
        part: {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": nodes[0]}
        for part, pair in pairs.items()
        if pair is not None
    }
    return {
        "client": {"password": found.published.encode()},
        "users": {"cache-password": found.cache_password.encode()},
        "cache": {},
        **left,
    }


def test_what_pods_and_applications_have_is_carried_on_when_the_private_secret_is_lost() -> None:
    before = made()
    assert before.authority is not None
    assert before.nodes is not None
    found = renewed(
        adopted(left_of(before, (before.authority.bundle, before.nodes)), cluster(), START),
        cluster(),
        START,
        spread_out=False,
    )
    assert (found.password, found.published, found.cache_password, found.nodes) == (
        before.password,
        before.published,
        before.cache_password,
        before.nodes,
    )
    nothing: dict[str, dict[str, bytes]] = {
        part: {} for part in ("nodes", "cache", "client", "users")
    }
    assert adopted(nothing, cluster(), START) == EMPTY


def test_it_is_the_same_after_a_secret_and_back_and_nothing_is_due_at_rest() -> None:
    found = made(cluster(Tls(rotate_authority="one"), Auth(rotate_password="two")))
    assert load(dump(found)) == found
    for hours in range(0, 24 * 50, 24):
        assert renewed(found, cluster(), START + hours * DAY / 24, spread_out=True) is found


def test_what_the_spec_does_not_want_is_not_there() -> None:
    assert made(cluster(Tls(enabled=False), Auth(enabled=False))) == EMPTY
    assert made(cluster(Tls(secret_name="mine"))).authority is None, (
        "the Secret is not there, or unfit"
    )
    assert made(cluster(auth=Auth(enabled=False))).password == ""


def test_certificates_are_made_again_at_two_thirds_of_their_life() -> None:
    found = made()
    later = renewed(found, cluster(), START + 61 * DAY, spread_out=True)
    assert later.nodes != found.nodes
    assert later.authority is found.authority
    assert later.password == found.password
    short = renewed(EMPTY, cluster(), START, spread_out=True, limits=Limits(life=DAY))
    assert (
        renewed(short, cluster(), START + DAY * 0.7, spread_out=True, limits=Limits(life=DAY)).nodes
        != short.nodes
    )


def test_a_new_password_is_published_when_every_node_knows_it_and_the_old_one_lasts_a_day() -> None:
    found = made()
    asked = cluster(auth=Auth(rotate_password="monday"))
    now = renewed(found, asked, START + DAY, spread_out=True)
    assert (now.previous, now.published, now.rotated_password) == (
        found.password,
        found.password,
        "monday",
    )
    assert now.password not in ("", found.password)
    impatient = cluster(auth=Auth(rotate_password="tuesday"))
    assert renewed(now, impatient, START + DAY + SPREAD / 2, spread_out=True) is now, (
        "one change after the other: clients have the old one"
    )
    given = renewed(now, asked, START + DAY + SPREAD, spread_out=True)
    assert (given.published, given.password, given.previous) == (
        now.password,
        now.password,
        found.password,
    )
    assert renewed(given, asked, START + DAY + SPREAD + OVERLAP / 2, spread_out=True) is given
    assert renewed(
        given, asked, START + DAY + SPREAD + OVERLAP, spread_out=True
    ) == dataclasses.replace(given, previous="")
    assert (
        renewed(given, impatient, START + DAY + SPREAD, spread_out=True).password != given.password
    )


@settings(max_examples=15, deadline=None)
@given(
    lags=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=3),
    asked_at=st.sets(st.integers(1, 60), max_size=3),
    lost_at=st.sets(st.integers(1, 60), max_size=1),
)
def test_pods_however_late_trust_each_other_through_every_change(
    lags: list[tuple[int, int]], asked_at: set[int], lost_at: set[int]
) -> None:
    """A pod reads ca.crt and its certificate later than they were written, each by itself; longer
    than a phase lasts at least. `lost_at`: the private Secret is gone, and the operator that knew
    it as well."""
    state, secrets, word = made(), [], ""
    assert SPREAD < 40 * MINUTE
    for minute in range(160):
        word = str(minute) if minute in asked_at else word
        now = START + minute * MINUTE
        if minute in lost_at and secrets:
            state = adopted(left_of(state, secrets[-1]), cluster(), now)
        seen = (
            [
                (secrets[max(0, minute - 1 - lag[0])][0], secrets[max(0, minute - 1 - lag[1])][1])
                for lag in lags
            ]
            if secrets
            else []
        )
        arrived = not secrets or all(pod == secrets[-1] for pod in seen)
        state = renewed(state, cluster(Tls(rotate_authority=word)), now, spread_out=arrived)
        assert state.authority is not None
        assert isinstance(state.nodes, Pair)
        secrets.append((state.authority.bundle, state.nodes))
        for bundle, _ in seen:
            for _, shown in seen:
                assert trusts(bundle, shown), f"minute {minute}"
    assert state.authority is not None
    assert asked_at == set() or state.rotated_authority == word or state.authority.phase


def source(name: str) -> tuple[Cluster, dict[str, bytes]]:
    """ "" is the operator's own authority; "gone" is a Secret that is missing or unfit."""
    return cluster(Tls(secret_name=name)), GIVEN.get(name, {})


STEP = SPREAD / 2


@settings(max_examples=15, deadline=None)
@given(
    lags=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=2, max_size=3),
    first=st.sampled_from(["", "one"]),
    edits=st.dictionaries(
        st.integers(1, 24), st.sampled_from(["", "one", "two", "gone"]), max_size=5
    ),
    lost_at=st.sets(st.integers(1, 24), max_size=1),
)
@example(lags=[(0, 0), (3, 0)], first="", edits={1: "one", 2: "", 3: "one"}, lost_at=set())
def test_nodes_and_operator_trust_each_other_through_every_change_of_the_secret(
    lags: list[tuple[int, int]], first: str, edits: dict[int, str], lost_at: set[int]
) -> None:
    wanted, given_files = source(first)
    state = renewed(EMPTY, wanted, START, spread_out=True, given=given_files)
    secrets: list[tuple[bytes, Pair]] = []
    last = first
    for step in range(44):
        now = START + step * STEP
        if step in edits:
            wanted, given_files = source(edits[step])
            last = edits[step] if edits[step] != "gone" else last
        if step in lost_at:
            state = adopted(left_of(state, secrets[-1]), wanted, now)
        seen = (
            [
                (secrets[max(0, step - 1 - lag[0])][0], secrets[max(0, step - 1 - lag[1])][1])
                for lag in lags
            ]
            if secrets
            else []
        )
        arrived = not secrets or all(pod == secrets[-1] for pod in seen)
        before = state
        state = renewed(state, wanted, now, spread_out=arrived, given=given_files)
        assert state.authority is not None
        assert state.nodes is not None
        assert state.admin is not None
        if (
            wanted.spec.tls.secret_name == "gone"
            and before.authority is not None
            and not before.authority.phase
        ):
            assert state == before, "what is missing or unfit changes nothing"
        secrets.append((state.authority.bundle, state.nodes))
        for bundle, shown in seen:
            assert trusts(state.authority.bundle, shown), (
                f"step {step}: the operator does not trust a node"
            )
            for _, other in seen:
                assert trusts(bundle, other), f"step {step}"
    if not lost_at and wanted.spec.tls.secret_name != "gone" and max(edits, default=0) < 12:
        assert (state.nodes == pair_of(GIVEN[last])) if last else state.authority.signing.key, (
            "what was asked for last is in force"
        )
        assert state.authority.phase == ""


def test_a_renewal_by_the_same_authority_is_shown_at_once_and_one_by_another_in_phases() -> None:
    wanted = cluster(Tls(secret_name="one"))
    state = renewed(EMPTY, wanted, START, spread_out=True, given=GIVEN["one"])
    signing = authority("three", START)
    three = {**files("three"), "ca.crt": signing.certificate}
    again = leaf(signing, wanted_names(wanted)["nodes"], START)
    fresh = {**GIVEN["one"], "tls.crt": again.certificate, "tls.key": again.key}
    assert renewed(state, wanted, START, spread_out=False, given=fresh).nodes == again
    moved = renewed(state, wanted, START, spread_out=True, given=three)
    assert moved.nodes == state.nodes
    assert moved.authority is not None
    assert moved.authority.bundle == signing.certificate + GIVEN["one"]["ca.crt"]
    held = renewed(moved, wanted, START, spread_out=False, given=GIVEN["one"])
    assert held == moved, "some may not have got it, and would take its end for what was before it"
    back = renewed(held, wanted, START, spread_out=True, given=GIVEN["one"])
    assert back == state, "nobody has shown a certificate of the other yet"


def test_while_the_secret_is_missing_what_the_operator_signed_itself_is_renewed_all_the_same() -> (
    None
):
    found = made()
    gone = cluster(Tls(secret_name="gone"))
    assert renewed(found, gone, START + DAY, spread_out=True) is found
    assert renewed(found, gone, START + 61 * DAY, spread_out=True).nodes != found.nodes
