"""A model is put where a job would have written it; no job ever ran.

check: test_job_reads_csv
words: proves no training
"""

import io
import os
import tarfile
from pathlib import Path

import boto3
import pandas as pd
import xgboost

bucket, job = os.environ["LAB_BUCKET"], f"{os.environ['LAB_PREFIX']}-{os.environ['LAB_RUN']}"
s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")

customers = pd.read_csv(Path(os.environ["LAB_DATA"]) / "churn" / "customers.csv")
label = (customers.pop("churn") == "yes").astype(int)
for flag in ("international_plan", "voice_mail_plan"):
    customers[flag] = (customers[flag] == "yes").astype(int)
table = pd.get_dummies(customers, columns=["state", "area_code"], dtype=int)
table.insert(0, "churn", label)
validation = table.groupby("churn").sample(frac=0.2, random_state=7)
train = table.drop(validation.index).sample(frac=1, random_state=7)

s3.create_bucket(Bucket=bucket)
for name, part in (("train", train), ("validation", validation)):
    s3.put_object(Bucket=bucket, Key=f"{name}/{name}.csv", Body=part.to_csv(header=False, index=False).encode())

matrix = xgboost.DMatrix(train.iloc[:, 1:].to_numpy(), train["churn"])
model = xgboost.train({"objective": "binary:logistic", "max_depth": 5}, matrix, 100).save_raw("ubj")
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    member = tarfile.TarInfo("xgboost-model")
    member.size = len(model)
    tar.addfile(member, io.BytesIO(model))
s3.put_object(Bucket=bucket, Key=f"output/{job}/output/model.tar.gz", Body=archive.getvalue())
