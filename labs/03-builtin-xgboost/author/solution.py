"""Lab 03, the reference in boto3: from the customer table to a model that ranks customers it never saw."""

# %% What the workbench gives. Outside of it this stops at once, before any account is touched.
import os
import tarfile
import tempfile
from pathlib import Path

import boto3
import pandas as pd

bucket, prefix, run = os.environ["LAB_BUCKET"], os.environ["LAB_PREFIX"], os.environ["LAB_RUN"]
role, data = os.environ["LAB_ROLE_ARN"], Path(os.environ["LAB_DATA"])

s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
region = s3.meta.region_name

# %% Task 1: numbers only, the label first. The whole table is encoded before the split, so that both files have the
# same columns; a one-hot column learns nothing from the rows, so that leaks nothing.
customers = pd.read_csv(data / "churn" / "customers.csv")
label = (customers.pop("churn") == "yes").astype(int)
for flag in ("international_plan", "voice_mail_plan"):
    customers[flag] = (customers[flag] == "yes").astype(int)
table = pd.get_dummies(customers, columns=["state", "area_code"], dtype=int)
table.insert(0, "churn", label)

# %% Task 2: a stratified split, a fifth of each class for validation.
validation = table.groupby("churn").sample(frac=0.2, random_state=7)
train = table.drop(validation.index).sample(frac=1, random_state=7)

# %% Task 3: upload, without header and without index.
if bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]:
    print(f"{bucket} is there already")
elif region == "us-east-1":
    s3.create_bucket(Bucket=bucket)
else:
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
for name, part in (("train", train), ("validation", validation)):
    s3.put_object(Bucket=bucket, Key=f"{name}/{name}.csv", Body=part.to_csv(header=False, index=False).encode())
    print(f"{name}: {len(part)} customers, {part['churn'].mean():.1%} of them left")

# %% Task 4: the training job on the built-in image.
accounts = {"us-east-1": "683313688378", "us-west-2": "246618743249", "eu-west-1": "141502667606"}
job = f"{prefix}-{run}"
sagemaker.create_training_job(
    TrainingJobName=job,
    RoleArn=role,
    AlgorithmSpecification={
        "TrainingImage": f"{accounts[region]}.dkr.ecr.{region}.amazonaws.com/sagemaker-xgboost:3.2-0",
        "TrainingInputMode": "File",
    },
    HyperParameters={
        "objective": "binary:logistic",
        "eval_metric": "auc",
        "num_round": "100",
        "max_depth": "5",
        "eta": "0.2",
        "subsample": "0.8",
    },
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

# %% Task 5: what became of it: the metrics in three places, and the artifact.
described = sagemaker.describe_training_job(TrainingJobName=job)
print(job, described["TrainingJobStatus"], f"{described['BillableTimeInSeconds']} s billable")
for metric in described["FinalMetricDataList"]:
    print(f"{metric['MetricName']}: {metric['Value']:.5f}")

points = boto3.client("cloudwatch").get_metric_statistics(
    Namespace="/aws/sagemaker/TrainingJobs",
    MetricName="validation:auc",
    Dimensions=[{"Name": "TrainingJobName", "Value": job}],
    StartTime=described["CreationTime"].replace(second=0, microsecond=0),
    EndTime=described["TrainingEndTime"] + pd.Timedelta(minutes=1),
    Period=60,
    Statistics=["Minimum", "Maximum"],
)["Datapoints"]
print("CloudWatch:", [(point["Minimum"], point["Maximum"]) for point in points])

group = "/aws/sagemaker/TrainingJobs"
events = boto3.client("logs").filter_log_events(logGroupName=group, logStreamNamePrefix=f"{job}/")["events"]
print("last line of the log:", events[-1]["message"])

artifact = described["ModelArtifacts"]["S3ModelArtifacts"]
with tempfile.TemporaryDirectory() as folder:
    s3.download_file(bucket, artifact.removeprefix(f"s3://{bucket}/"), f"{folder}/model.tar.gz")
    with tarfile.open(f"{folder}/model.tar.gz") as archive:
        print(artifact, archive.getnames())
