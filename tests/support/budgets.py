"""How many examples a property is tried with."""

from collections.abc import Callable
from typing import TypeVar

import hypothesis
import pytest

Test = TypeVar("Test", bound=Callable[..., None])

SOAK = "soak"
"""The profile of hypothesis that `make soak` takes."""


def share_of_examples(share: float) -> hypothesis.settings:
    """Return the settings of a property whose examples cost much, or little.

    `share` is of the profile's number.
    """
    usual = hypothesis.settings.default
    assert usual is not None
    return hypothesis.settings(max_examples=max(1, round(share * usual.max_examples)))


def examples(share: float) -> Callable[[Test], Test]:
    """Try a property with a share of the profile's examples, and with many in `make soak`.

    Given above `@given`.
    """

    def tried(test: Test) -> Test:
        test = share_of_examples(share)(test)
        if hypothesis.settings.get_current_profile_name() == SOAK:
            test = pytest.mark.timeout(3600)(pytest.mark.soak(test))
        return test

    return tried
