"""Lab 01: S3 repositories. The guide is README.md in this lab's folder; `pytest labs/01` runs this file and checks.

Each `# %%` begins a cell, so this file also opens as a notebook. Where a task is still to do, the file stops and says
so: write the task's code above that line, then delete the line.
"""

# %% What the workbench gives. Outside of it this cell stops, before any account is touched.
import os
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pandas as pd

bucket = os.environ["LAB_BUCKET"]  # a name that is free for you; the bucket does not exist yet
data = Path(os.environ["LAB_DATA"])  # the folder of the data
today = datetime.now(UTC).date().isoformat()  # YYYY-MM-DD, the day on which the file came

s3 = boto3.client("s3")

# %% Task 1: make the bucket. Block public access, keep versions, encrypt by default, tag it.
raise SystemExit("task 1 is still to do: the bucket, and what it is like")

# %% Task 2: refuse calls without TLS. Read the policy twice: a Deny without a condition locks you out.
raise SystemExit("task 2 is still to do: the bucket policy")

# %% Task 3: upload the raw file as it is, with a SHA-256 that S3 verifies and keeps.
source = data / "churn" / "customers.csv"
raw_key = f"raw/churn/ingest_date={today}/customers.csv"
raise SystemExit("task 3 is still to do: upload the raw file")

# %% Task 4: write the curated table, one folder for each value of one column.
customers = pd.read_csv(source, dtype=str)  # as text: no value is rewritten
print(customers.head())
raise SystemExit("task 4 is still to do: the curated table")

# %% Task 5: overwrite the raw file with a broken one, as a bad delivery would. Then bring the right version back.
raise SystemExit("task 5 is still to do: the accident, and the way back")

# %% Task 6: all lifecycle rules, in one call.
raise SystemExit("task 6 is still to do: the lifecycle")
