"""`python -m stagemaker.algorithms.xgboost train|serve`."""

import sys

from stagemaker.algorithms.xgboost.program import main

sys.exit(main(sys.argv[1:]))
