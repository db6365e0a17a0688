"""Lab 03: built-in XGBoost. The guide is README.md in this lab's folder; `pytest labs/03` runs this file and checks.

Each `# %%` begins a cell, so this file also opens as a notebook. Where a task is still to do, the file stops and says
so: write the task's code above that line, then delete the line.
"""

# %% What the workbench gives. Outside of it this cell stops, before any account is touched.
import os
from pathlib import Path

import boto3
import pandas as pd

bucket = os.environ["LAB_BUCKET"]  # a name that is free for you; the bucket does not exist yet
prefix = os.environ["LAB_PREFIX"]  # begin the names that you choose with it
run = os.environ["LAB_RUN"]  # new at each run: a job's name can never be used again
role = os.environ["LAB_ROLE_ARN"]  # the role that the job runs as
data = Path(os.environ["LAB_DATA"])  # the folder of the data

s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")

# %% Task 1: encode the table as numbers, the label first.
customers = pd.read_csv(data / "churn" / "customers.csv")
print(customers.head())
raise SystemExit("task 1 is still to do: encode the table, put the label first")

# %% Task 2: split it into train and validation, with the same share of churners.
raise SystemExit("task 2 is still to do: split the table")

# %% Task 3: make the bucket and upload both files as CSV without a header.
raise SystemExit("task 3 is still to do: upload to train/ and validation/")

# %% Task 4: create the training job, then wait for it.
job = f"{prefix}-{run}"
raise SystemExit("task 4 is still to do: create_training_job, then the waiter")

# %% Task 5: read what became of it: the metrics and the artifact.
described = sagemaker.describe_training_job(TrainingJobName=job)
raise SystemExit("task 5 is still to do: print the metrics and the artifact")
