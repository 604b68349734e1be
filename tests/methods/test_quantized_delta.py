"""Settings of quantised deltas: what they are by default, and what is refused."""

import dataclasses
import math
from typing import Any

import pytest

from stencilnet.methods import QuantizedDelta


def test_settings_and_defaults_are_pinned() -> None:
    assert dataclasses.asdict(QuantizedDelta()) == {
        "target": 0.48,
        "switch": 0.3,
        "sensitivity": 0.4,
        "dead": 1.3,
        "base": "backbone",
        "base_seed": 1,
    }


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"target": 0.0}, r"`target` to be positive, but got 0\.0"),
        ({"target": math.nan}, r"`target` to be positive, but got nan"),
        ({"switch": 1.0}, r"`switch` to be between 0 and 1, but got 1\.0"),
        ({"sensitivity": -0.1}, r"`sensitivity` to be finite and at least 0, but got -0\.1"),
        ({"sensitivity": math.inf}, r"`sensitivity` to be finite and at least 0, but got inf"),
        ({"dead": 0.0}, r"`dead` to be positive, but got 0\.0"),
        ({"base": "noise"}, r"`base` to be backbone or seed, but got 'noise'"),
        ({"base_seed": -1}, r"`base_seed` to be at least 0, but got -1"),
        ({"target": -1.0, "dead": -1.0}, r"`target` to be positive, but got -1\.0; `dead` to be positive"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"Expected the quantised delta's {problem}"):
        QuantizedDelta(**settings)
