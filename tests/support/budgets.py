"""How many examples a property is tried with."""

import hypothesis


def examples(share: float) -> hypothesis.settings:
    """Return the settings of a property whose examples cost much, or little.

    `share` is of the profile's number: `make soak` tries more of each.
    """
    usual = hypothesis.settings.default
    assert usual is not None
    return hypothesis.settings(max_examples=max(1, round(share * usual.max_examples)))
