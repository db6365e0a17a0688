"""`python -m stagemaker`: the stage's own commands."""

import sys

from stagemaker.cli import main

sys.exit(main())
