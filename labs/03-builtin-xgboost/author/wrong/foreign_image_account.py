"""The image has the right name, in the registry of an account that is not AWS's.

check: test_job_completed
words: 111122223333.dkr.ecr
words: the registry of AWS for us-east-1: 683313688378.dkr.ecr.us-east-1.amazonaws.com
"""

import os
from pathlib import Path

import boto3
import pandas as pd

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

sagemaker.create_training_job(
    TrainingJobName=job,
    RoleArn=os.environ["LAB_ROLE_ARN"],
    AlgorithmSpecification={
        "TrainingImage": "111122223333.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0",
        "TrainingInputMode": "File",
    },
    HyperParameters={"objective": "binary:logistic", "eval_metric": "auc", "num_round": "100", "max_depth": "5"},
    InputDataConfig=[
        {
            "ChannelName": name,
            "ContentType": "text/csv",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/"}},
        }
        for name in ("train", "validation")
    ],
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
)
sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=job)
