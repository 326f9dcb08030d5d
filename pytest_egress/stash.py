"""The keys under which the plugin keeps its state in pytest's own objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_egress.loading import Loader
    from pytest_egress.outcome import Outcome

__all__ = ["LOADER", "OUTCOMES"]

#: On the config: the contracts that have been read.
LOADER: pytest.StashKey[Loader] = pytest.StashKey()
#: On an item: what its probes found.
OUTCOMES: pytest.StashKey[list[Outcome]] = pytest.StashKey()
