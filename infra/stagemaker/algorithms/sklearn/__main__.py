"""`python -m stagemaker.algorithms.sklearn train|serve`."""

import sys

from stagemaker.algorithms.sklearn.program import main

sys.exit(main(sys.argv[1:]))
