"""Lab 03 done in another honest way, which must pass too: other folders, columns, codes, scales, parts and names."""

import os
from pathlib import Path

import boto3
import pandas as pd

bucket, run = os.environ["LAB_BUCKET"], os.environ["LAB_RUN"]
s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")

table = pd.read_csv(Path(os.environ["LAB_DATA"]) / "churn" / "customers.csv")
charges = ["total_day_charge", "total_eve_charge", "total_night_charge", "total_intl_charge"]
table["total_charge"] = table[charges].sum(axis=1)
table = table.drop(columns=charges)
for name in ("state", "area_code", "international_plan", "voice_mail_plan", "churn"):
    table[name] = table[name].astype("category").cat.codes
table = table[["churn", *sorted(str(name) for name in table if name != "churn")]]
train = table.groupby("churn").sample(frac=0.75, random_state=3)
validation = table.drop(train.index)
scaled = [str(name) for name in table if str(name).endswith("_minutes")]
shift, scale = train[scaled].mean(), train[scaled].std()

if bucket not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]:
    s3.create_bucket(Bucket=bucket)
for name, chosen in (("train", train), ("validation", validation)):
    part = chosen.astype(float)
    part[scaled] = (part[scaled] - shift) / scale
    half = len(part) // 2
    for number, rows in enumerate((part[:half], part[half:])):
        body = rows.to_csv(header=False, index=False, sep=";").encode()
        s3.put_object(Bucket=bucket, Key=f"churn/{run}/{name}/part-{number}", Body=body)

job = f"telephone-{run}"
sagemaker.create_training_job(
    TrainingJobName=job,
    RoleArn=os.environ["LAB_ROLE_ARN"],
    AlgorithmSpecification={
        "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5",
        "TrainingInputMode": "File",
    },
    HyperParameters={
        "objective": "binary:logistic",
        "eval_metric": "logloss,auc",
        "num_round": "300",
        "max_depth": "4",
        "eta": "0.1",
        "early_stopping_rounds": "20",
    },
    InputDataConfig=[
        {
            "ChannelName": name,
            "ContentType": "text/csv",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/churn/{run}/{name}"}},
        }
        for name in ("train", "validation")
    ],
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models"},
    ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    StoppingCondition={"MaxRuntimeInSeconds": 900},
)
sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=job)
