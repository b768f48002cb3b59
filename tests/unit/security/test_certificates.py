"""The plan of renewals and of a change of authority, by a clock that the test turns."""

from __future__ import annotations

import dataclasses

from countercluster_operator.credentials.certificates import (
    SPREAD,
    Authority,
    Names,
    Pair,
    advance,
    authority,
    leaf,
    node_names,
    renewal,
    why_renew,
)
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit.certificates import DAY, MINUTE, START, trusts

NAMES = node_names("clicks", "shop", range(3))


def test_a_leaf_is_made_again_at_two_thirds_of_its_life_and_not_before() -> None:
    ca = authority("clicks", START)
    found = leaf(ca, NAMES, START)
    assert why_renew(found, ca, NAMES, START) == ""
    assert why_renew(found, ca, NAMES, START + 59 * DAY) == ""
    assert "two thirds" in why_renew(found, ca, NAMES, START + 61 * DAY)
    assert abs(renewal(found.certificate) - (START + 60 * DAY)) < DAY


def test_a_leaf_is_made_again_when_a_name_lacks_the_authority_changed_or_files_make_no_sense() -> (
    None
):
    ca = authority("clicks", START)
    found = leaf(ca, NAMES, START)
    assert "clicks-3" in why_renew(found, ca, node_names("clicks", "shop", range(4)), START)
    assert (
        why_renew(found, ca, node_names("clicks", "shop", range(2)), START) == ""
    )  # one that says more is good
    assert "signing authority" in why_renew(found, authority("clicks", START), NAMES, START)
    assert why_renew(None, ca, NAMES, START)
    assert why_renew(Pair(b"nonsense", found.key), ca, NAMES, START)
    assert (
        why_renew(Pair(found.certificate, leaf(ca, NAMES, START).key), ca, NAMES, START)
        == "its key is another's"
    )
    assert why_renew(Pair(found.certificate, b""), ca, NAMES, START)


def test_no_leaf_outlives_its_authority() -> None:
    ca = authority("clicks", START, life=30 * DAY)
    found = x509.load_pem_x509_certificate(leaf(ca, NAMES, START).certificate)
    assert (
        found.not_valid_after_utc
        == x509.load_pem_x509_certificate(ca.certificate).not_valid_after_utc
    )


def test_an_authority_changes_by_itself_at_two_thirds_of_its_life_and_then_rests() -> None:
    found = advance(None, "clicks", START)
    assert advance(found, "clicks", START + 2400 * DAY) is found
    late = START + 2440 * DAY
    phases = []
    for step in range(8):
        found = advance(found, "clicks", late + step * SPREAD)
        phases.append(found.phase)
    assert phases == ["publish", "re-issue", "", "", "", "", "", ""]


@dataclasses.dataclass
class Pod:
    """Gets what the Secrets say `lag` minutes late, each Secret by itself."""

    lags: tuple[int, int]

    def sees(self, secrets: list[tuple[bytes, Pair]], minute: int) -> tuple[bytes, Pair]:
        bundle = secrets[max(0, minute - self.lags[0])][0]
        return bundle, secrets[max(0, minute - self.lags[1])][1]


lag = st.integers(0, int(SPREAD / MINUTE) - 1)


def history(minutes: int, rotate_at: set[int]) -> list[tuple[bytes, Pair]]:
    """What the Secrets say, minute by minute: the bundle, and the leaf of all nodes."""
    state: Authority | None = None
    shown: Pair | None = None
    found = []
    for minute in range(minutes):
        now = START + minute * MINUTE
        state = advance(state, "clicks", now, rotate=minute in rotate_at)
        if why_renew(shown, state.signing, NAMES, now):
            shown = leaf(state.signing, NAMES, now)
        assert shown is not None
        found.append((state.bundle, shown))
    return found


@settings(max_examples=20, deadline=None)
@given(
    pods=st.lists(st.builds(Pod, st.tuples(lag, lag)), min_size=2, max_size=4),
    rotations=st.sets(st.integers(1, 60), max_size=4),
)
def test_every_pod_trusts_every_other_at_every_moment_of_a_change_of_authority(
    pods: list[Pod], rotations: set[int]
) -> None:
    secrets = history(100, rotations)
    for minute in range(100):
        seen = [pod.sees(secrets, minute) for pod in pods]
        for bundle, _ in seen:
            for _, shown in seen:
                assert trusts(bundle, shown), f"minute {minute}"


def test_after_a_change_the_old_authority_is_not_trusted_any_more() -> None:
    secrets = history(40, {5})
    assert trusts(secrets[4][0], secrets[4][1])
    assert not trusts(secrets[-1][0], secrets[0][1])
    assert trusts(secrets[-1][0], secrets[-1][1])


def test_names_are_those_that_nodes_check() -> None:
    found = x509.load_pem_x509_certificate(
        leaf(authority("clicks", START), NAMES, START).certificate
    )
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "countercluster://shop/clicks/node/clicks-2" in names.get_values_for_type(
        x509.UniformResourceIdentifier
    )
    assert {"clicks", "clicks.shop.svc", "clicks-0.clicks-peers.shop.svc"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    assert Names("x") != NAMES
