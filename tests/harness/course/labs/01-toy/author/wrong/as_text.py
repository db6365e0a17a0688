"""The numbers are written as text.

check: test_numbers
words: write them without quotes
"""

import os
from pathlib import Path

(Path(os.environ["AWS_TOY_ACCOUNT"]) / "numbers.json").write_text('[1, "2", 3]')
