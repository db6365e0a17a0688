"""Lab 03, the reference in the SageMaker Python SDK, version 3: the same work, the job by `ModelTrainer`."""

# %% What the workbench gives. Outside of it this stops at once, before any account is touched.
import os
from pathlib import Path

import pandas as pd
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.train.configs import Compute, InputData, OutputDataConfig, StoppingCondition
from sagemaker.train.model_trainer import ModelTrainer

bucket, prefix, role = os.environ["LAB_BUCKET"], os.environ["LAB_PREFIX"], os.environ["LAB_ROLE_ARN"]

# With a bucket of its own and the role's full ARN the SDK asks neither STS nor IAM for them.
session = Session(default_bucket=bucket)
s3, region = session.boto_session.client("s3"), session.boto_region_name

# %% Numbers only, the label first; a stratified split, a fifth of each class for validation.
customers = pd.read_csv(Path(os.environ["LAB_DATA"]) / "churn" / "customers.csv")
label = (customers.pop("churn") == "yes").astype(int)
for flag in ("international_plan", "voice_mail_plan"):
    customers[flag] = (customers[flag] == "yes").astype(int)
table = pd.get_dummies(customers, columns=["state", "area_code"], dtype=int)
table.insert(0, "churn", label)
validation = table.groupby("churn").sample(frac=0.2, random_state=7)
train = table.drop(validation.index).sample(frac=1, random_state=7)

# %% Upload, without header and without index.
if bucket not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]:
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **where)
for name, part in (("train", train), ("validation", validation)):
    s3.put_object(Bucket=bucket, Key=f"{name}/{name}.csv", Body=part.to_csv(header=False, index=False).encode())

# %% The training job. The SDK makes a name from the base name and the time.
trainer = ModelTrainer(
    sagemaker_session=session,
    training_image=image_uris.retrieve("xgboost", region=region, version="3.2-0"),
    role=role,
    base_job_name=prefix,
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    hyperparameters={
        "objective": "binary:logistic",
        "eval_metric": "auc",
        "num_round": 100,
        "max_depth": 5,
        "eta": 0.2,
        "subsample": 0.8,
    },
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/output"),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
)
channels = [
    InputData(channel_name=name, data_source=f"s3://{bucket}/{name}/", content_type="text/csv")
    for name in ("train", "validation")
]
trainer.train(input_data_config=channels, wait=True, logs=True)

# %% What became of it.
job = trainer._latest_training_job  # noqa: SLF001 - the SDK offers no public name for the job that it has just run
print(job.training_job_name, job.training_job_status)
for metric in job.final_metric_data_list:
    print(f"{metric.metric_name}: {metric.value:.5f}")
print(job.model_artifacts.s3_model_artifacts)
