"""`python -m stagemaker.algorithms.xgboost train|serve`."""

import os
import sys

from stagemaker.algorithms.xgboost.program import main

code = main(sys.argv[1:])
for stream in (sys.stdout, sys.stderr):
    stream.flush()
# Not by way of the interpreter's end: to take down the libraries takes 0.2 s, and the model is written.
os._exit(code)
