"""The library without scikit-learn, which would take two thirds of the start and has no part in the algorithm."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_scikit_learn() -> Iterator[None]:
    """For the first import of the library: its own estimators in the manner of scikit-learn are not there then.

    The library imports scikit-learn wherever it is installed, and does without where it is not. Afterwards it
    can be imported as usual.
    """
    if not {"sklearn", "xgboost"}.isdisjoint(sys.modules):
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # which is how the import system marks what is not there
    try:
        yield
    finally:
        del sys.modules["sklearn"]
