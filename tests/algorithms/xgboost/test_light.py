"""The start of the program without scikit-learn."""

from __future__ import annotations

import subprocess
import sys

SHOW = (
    "import sys; from stagemaker.algorithms.xgboost.light import without_scikit_learn\n"
    "with without_scikit_learn(): import xgboost\n"
    "assert 'sklearn' not in sys.modules, 'it came along'\n"
    "import numpy, pandas\n"
    "table = pandas.DataFrame({'a': [0.0, 1.0] * 8})\n"
    "model = xgboost.train({'nthread': 1}, xgboost.DMatrix(table, [0, 1] * 8), 2)\n"
    "import sklearn.base\n"
    "print(model.num_boosted_rounds(), sklearn.base.BaseEstimator.__name__)\n"
)


def test_library_comes_without_scikit_learn() -> None:
    """It trains, also on a data frame, and scikit-learn itself can be imported afterwards."""
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "BaseEstimator"]


def test_what_is_there_stays() -> None:
    """A process that has scikit-learn already, such as a kept instance's, keeps it."""
    import sklearn

    from stagemaker.algorithms.xgboost.light import without_scikit_learn

    with without_scikit_learn():
        assert sys.modules["sklearn"] is sklearn
    assert sys.modules["sklearn"] is sklearn
