"""The reference."""

import json
import os
from pathlib import Path

rows = (Path(os.environ["LAB_DATA"]) / "tiny" / "rows.csv").read_text().split()
account = Path(os.environ["AWS_TOY_ACCOUNT"])
(account / "numbers.json").write_text(json.dumps([int(row) for row in rows]))
print("wrote", len(rows), "numbers in run", os.environ["LAB_RUN"])
