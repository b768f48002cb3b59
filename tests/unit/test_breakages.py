"""A breakage that patches what is not there any more breaks nothing, and says so only in `make
mutations`."""

from __future__ import annotations

import pytest

from tests.mutations.catalogue import CATALOGUE


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_a_breakage_patches_is_there(name: str) -> None:
    patched = []

    def patch(owner: object, attribute: str, value: object) -> None:
        patched.append(attribute)
        # What __init__ sets is no attribute of the class; a property takes its place.
        assert hasattr(owner, attribute) or isinstance(value, property), (
            f"{owner} has no {attribute}"
        )

    CATALOGUE[name].apply(patch)
    assert patched
