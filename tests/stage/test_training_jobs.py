"""Training jobs over the wire: what a client sees, and what the container sees."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.stage.conftest import Account
else:
    Account = Any


def error_of(call: Any, **parameters: Any) -> tuple[str, str]:
    """Code and message of the error that `call` must raise."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_job_runs_to_completion(account: Account) -> None:
    """A job's description tells its life: transitions in order, times, seconds, artifact."""
    job = account.train("done", {"model": "weights"})
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    steps = job["SecondaryStatusTransitions"]
    assert [step["Status"] for step in steps] == ["Starting", "Training", "Uploading", "Completed"]
    assert [step["StatusMessage"] for step in steps] == [
        "Preparing the instances for training",
        "Training image download completed. Training in progress.",
        "Uploading generated training model",
        "Training job completed",
    ]
    assert all(earlier["EndTime"] == later["StartTime"] for earlier, later in itertools.pairwise(steps))
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://data/output/done/output/model.tar.gz"
    assert job["TrainingJobArn"] == "arn:aws:sagemaker:us-east-1:123456789012:training-job/done"


def test_describe_echoes_the_request(account: Account) -> None:
    """Every member of the request comes back, with SageMaker's defaults added and nothing null."""
    account.client("s3").put_object(Bucket="data", Key="train/x.csv", Body=b"1,2")
    channel = account.channel("train", "train", ContentType="text/csv")
    job = account.train("echo", {"a": "1"}, InputDataConfig=[channel], Environment={"MINE": "yes"})
    request = account.request("echo", {"a": "1"})
    assert job["InputDataConfig"][0]["ContentType"] == "text/csv"
    for member in ("RoleArn", "HyperParameters", "ResourceConfig", "StoppingCondition"):
        assert job[member] == request[member]
    assert job["Environment"] == {"MINE": "yes"}
    assert job["OutputDataConfig"] == {"S3OutputPath": "s3://data/output", "KmsKeyId": "", "CompressionType": "GZIP"}
    assert job["EnableManagedSpotTraining"] is False
    assert "FailureReason" not in job


def test_container_finds_its_contract(account: Account) -> None:
    """Input files, configuration, variables and the word `train`, as the container contract has them."""
    s3 = account.client("s3")
    for key in ("in/train/a.csv", "in/train/deep/b.csv", "in/train/folder/", "in/training.csv"):
        s3.put_object(Bucket="data", Key=key, Body=b"" if key.endswith("/") else b"1,2\n")
    account.train(
        "inside",
        {"report": "1", "depth": "5"},
        InputDataConfig=[account.channel("train", "in/train/", ContentType="text/csv")],
        Environment={"MINE": "yes"},
    )
    seen = account.report("inside")
    assert seen["argv"] == ["train"]
    data = [name for name in seen["files"] if name.startswith("input/data/")]
    assert data == ["input/data/train/a.csv", "input/data/train/deep/b.csv"]
    assert seen["hyperparameters"] == {"report": "1", "depth": "5"}
    assert seen["inputdataconfig"] == {
        "train": {
            "ContentType": "text/csv",
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
    }
    assert seen["resourceconfig"]["hosts"] == [seen["resourceconfig"]["current_host"]] == ["algo-1"]
    variables = seen["environment"]
    assert variables["TRAINING_JOB_NAME"] == "inside"
    assert variables["TRAINING_JOB_ARN"].endswith("training-job/inside")
    assert variables["MINE"] == "yes"
    assert variables["AWS_REGION"] == "us-east-1"


def test_keys_as_odd_as_s3_allows(account: Account) -> None:
    """Spaces, unicode and 1,024 bytes reach the container as files; two dots are refused by name."""
    longest = "in/" + "/".join(["d" * 203] * 5) + "/"
    longest += "x" * (1024 - len(longest))
    keys = ["in/a b/c d.csv", "in/ä/顧客.csv", longest]
    for key in keys:
        account.client("s3").put_object(Bucket="data", Key=key, Body=b"1")
    account.train("odd", {"report": "1"}, InputDataConfig=[account.channel("train", "in/")])
    found = {name.removeprefix("input/data/train/") for name in account.report("odd")["files"]}
    assert {key.removeprefix("in/") for key in keys} <= found
    account.client("s3").put_object(Bucket="data", Key="in/../../../out.csv", Body=b"1")
    out = account.fail("out", InputDataConfig=[account.channel("train", "in/")])
    assert out["FailureReason"].startswith("ClientError: Data download failed:")
    assert "in/../../../out.csv" in out["FailureReason"]


def test_container_holds_the_roles_keys_and_no_others(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys in the container are the execution role's, as STS itself says."""
    import boto3

    account.train("role", {"report": "1"})
    variables = account.report("role")["environment"]
    sts = boto3.client(
        "sts",
        endpoint_url=account.stage.endpoint,
        region_name="us-east-1",
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables["AWS_SESSION_TOKEN"],
    )
    role = account.stage.role_arn.rsplit("/", 1)[1]
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{role}/SageMaker"
    own = account.stage.environment()
    assert own["AWS_SECRET_ACCESS_KEY"] not in variables.values()
    wait_for(lambda: not list(account.stage.folder.jobs.glob("*/role/credentials.json")))


def test_artifacts_hold_what_the_container_left(account: Account) -> None:
    """model.tar.gz holds the model folder's contents at its top; nothing left, nothing written."""
    import io
    import tarfile

    account.train("left", {"model": "weights"})
    body = account.client("s3").get_object(Bucket="data", Key="output/left/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["model.txt"]
    account.train("nothing")
    assert account.client("s3").list_objects_v2(Bucket="data", Prefix="output/nothing")["KeyCount"] == 0


def test_log_is_in_cloudwatch_logs(account: Account) -> None:
    """The container's lines are events of `<job>/algo-1-<epoch seconds>`, tabs as #011."""
    account.train("talks", {"lines": '["one", "a\\tb"]'})
    logs = account.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="talks/")["logStreams"]
    assert len(streams) == 1
    name = streams[0]["logStreamName"]
    assert name.startswith("talks/algo-1-")
    assert name.rsplit("-", 1)[1].isdigit()
    events = logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)["events"]
    assert [event["message"] for event in events] == ["one", "a#011b"]


def test_metrics_by_expression(account: Account) -> None:
    """A user's metric definitions feed FinalMetricDataList (last value) and CloudWatch (every value)."""
    from datetime import timedelta

    algorithm = account.request("x")["AlgorithmSpecification"]
    algorithm["MetricDefinitions"] = [{"Name": "loss", "Regex": r"loss=([0-9.]+)"}]
    job = account.train("metrics", {"lines": '["loss=0.5", "loss=0.25", "loss=nan"]'}, AlgorithmSpecification=algorithm)
    final = job["FinalMetricDataList"]
    assert [(metric["MetricName"], metric["Value"]) for metric in final] == [("loss", 0.25)]
    statistics = account.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="loss",
        Dimensions=[{"Name": "TrainingJobName", "Value": "metrics"}],
        StartTime=job["CreationTime"] - timedelta(minutes=1),
        EndTime=job["TrainingEndTime"] + timedelta(minutes=1),
        Period=3600,
        Statistics=["SampleCount", "Maximum", "Minimum"],
    )["Datapoints"]
    assert sum(point["SampleCount"] for point in statistics) == 2
    assert max(point["Maximum"] for point in statistics) == 0.5


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({"exit": "1", "failure": "it broke"}, "AlgorithmError: it broke, exit code: 1"),
        ({"exit": "3"}, "AlgorithmError: , exit code: 3"),
    ],
)
def test_failing_container(account: Account, hyperparameters: dict[str, str], reason: str) -> None:
    """FailureReason holds the failure file's text and the exit code; what was left is uploaded."""
    job = account.fail("fails", {**hyperparameters, "model": "half"})
    assert job["FailureReason"] == reason
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]][-2:] == ["Uploading", "Failed"]
    account.client("s3").head_object(Bucket="data", Key="output/fails/output/model.tar.gz")


def test_failure_reason_is_cut_at_1024_characters(account: Account) -> None:
    """A long failure file does not make a long FailureReason."""
    assert len(account.fail("long", {"exit": "1", "failure": "x" * 2400})["FailureReason"]) == 1024


def test_unknown_image_fails_later(account: Account) -> None:
    """As on AWS a missing image is no error of the request, but the job's FailureReason."""
    algorithm = {"TrainingImage": "nobody/has-this:1", "TrainingInputMode": "File"}
    reason = account.fail("image", AlgorithmSpecification=algorithm)["FailureReason"]
    assert reason.startswith("ClientError: Cannot pull algorithm container.")


def test_stop(account: Account) -> None:
    """SIGTERM reaches the container, what it leaves in time is uploaded, the job is Stopped."""
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**account.request("stop", {"sleep": "600", "report": "1"}))
    # Written once the program's handler of SIGTERM is in place.
    report = account.stage.folder.jobs / "us-east-1" / "stop" / "algo-1" / "opt" / "ml" / "output/data/report.json"
    wait_for(report.exists)
    sagemaker.stop_training_job(TrainingJobName="stop")
    job = account.settle("stop")
    assert "Stopping" in [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith("/stop/output/model.tar.gz")
    code, message = error_of(sagemaker.stop_training_job, TrainingJobName="stop")
    assert code == "ValidationException"
    assert message == "The request was rejected because the training job is in status Stopped."


def test_max_runtime(account: Account) -> None:
    """A job that outlives MaxRuntimeInSeconds is Stopped, and says which limit it was."""
    job = account.train("slow", {"sleep": "60"}, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert 1 <= job["TrainingTimeInSeconds"] < 20


A_LOOK_LATER = 60.0
"""Seconds between two looks of botocore's waiter."""


def test_waiter_returns_when_the_job_ends(account: Account) -> None:
    """An unmodified waiter, which would look again after 60 s, is back long before that when a 2 s job ends."""
    job, late = wait_timed(account, "two", "2")
    assert job["TrainingTimeInSeconds"] >= 2
    assert late < A_LOOK_LATER / 2


def test_waiter_outlives_read_time_outs(account: Account) -> None:
    """A 70 s job is longer than botocore's read time-out of 60 s; the waiter is still back in time."""
    job, late = wait_timed(account, "seventy", "70")
    assert job["TrainingTimeInSeconds"] >= 70
    assert late < A_LOOK_LATER / 2


def wait_timed(account: Account, name: str, sleep: str) -> tuple[dict[str, Any], float]:
    """Run a job of `sleep` seconds; its description, and how late the waiter was, in seconds."""
    sagemaker = account.client("sagemaker")
    sagemaker.create_training_job(**account.request(name, {"sleep": sleep}))
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name)
    back = time.time()
    job = describe(account, name)
    return job, back - job["TrainingEndTime"].timestamp()


def describe(account: Account, name: str) -> dict[str, Any]:
    """DescribeTrainingJob, which always answers at once when no waiter asks."""
    description: dict[str, Any] = account.client("sagemaker").describe_training_job(TrainingJobName=name)
    return description


def wait_for(condition: Any, seconds: float = 60) -> None:
    """Until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_name_is_taken_for_ever(account: Account) -> None:
    """A second job of the same name is refused with AWS's words, also after the first has ended."""
    account.train("once")
    code, message = error_of(account.client("sagemaker").create_training_job, **account.request("once"))
    assert code == "ResourceInUse"
    assert message == (
        "Training job names must be unique within an AWS account and region, and a training job with this name "
        "already exists (arn:aws:sagemaker:us-east-1:123456789012:training-job/once)"
    )


def test_names_are_apart_by_region(account: Account) -> None:
    """The same name in another region is another job."""
    account.train("here")
    elsewhere = account.client("sagemaker", region_name="eu-west-1")
    assert elsewhere.list_training_jobs()["TrainingJobSummaries"] == []
    code, _ = error_of(elsewhere.describe_training_job, TrainingJobName="here")
    assert code == "ValidationException"


def test_missing_job(account: Account) -> None:
    """Describe and Stop of a job that is not there."""
    sagemaker = account.client("sagemaker")
    expected = ("ValidationException", "Requested resource not found.")
    assert error_of(sagemaker.describe_training_job, TrainingJobName="none") == expected
    assert error_of(sagemaker.stop_training_job, TrainingJobName="none") == expected


def test_empty_input_is_refused_at_once(account: Account) -> None:
    """A prefix without objects, or a bucket that is not there, is an error of the request."""
    channel = account.channel("train", "nothing/")
    request = account.request("empty", InputDataConfig=[channel])
    code, message = error_of(account.client("sagemaker").create_training_job, **request)
    assert code == "ValidationException"
    assert message.startswith('No S3 objects found under S3 URL "s3://data/nothing/" given in input data source.')
    channel["DataSource"]["S3DataSource"]["S3Uri"] = "s3://no-such-bucket/x"
    code, message = error_of(account.client("sagemaker").create_training_job, **request)
    assert "no-such-bucket" in message


def test_role_must_exist_and_trust_sagemaker(account: Account) -> None:
    """A role that SageMaker cannot assume is refused by name."""
    request = account.request("role", RoleArn="arn:aws:iam::123456789012:role/nobody")
    code, message = error_of(account.client("sagemaker").create_training_job, **request)
    assert code == "ValidationException"
    assert message.startswith("Could not assume role arn:aws:iam::123456789012:role/nobody.")


def test_output_bucket_that_is_missing_is_the_jobs_failure(account: Account) -> None:
    """The artifact has nowhere to go: the job fails and says so."""
    job = account.fail("homeless", {"model": "m"}, OutputDataConfig={"S3OutputPath": "s3://no-such-bucket-anywhere/x"})
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"TrainingJobName": "-x"},
            "Value '-x' at 'trainingJobName' failed to satisfy constraint: Member must satisfy",
        ),
        ({"ResourceConfig": {"InstanceCount": 1, "VolumeSizeInGB": 1}}, "InstanceType and InstanceCount is required"),
        (
            {"ResourceConfig": {"InstanceType": "ml.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}},
            "Value 'ml.huge' at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum",
        ),
        ({"HyperParameters": {"k": "v" * 3000}}, "Member must have length less than or equal to 2500"),
        (
            {
                "EnableNetworkIsolation": True,
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
            },
            "EnableNetworkIsolation = True",
        ),
        (
            {"VpcConfig": {"Subnets": ["s n"], "SecurityGroupIds": ["g"]}},
            "at 'vpcConfig.subnets' failed to satisfy constraint",
        ),
        (
            {"ResourceConfig": {"InstanceGroups": [], "InstanceType": "ml.m5.large", "InstanceCount": 1}},
            "cannot honour ResourceConfig.InstanceGroups",
        ),
    ],
)
def test_request_that_cannot_be_honoured(account: Account, members: dict[str, Any], words: str) -> None:
    """Bad values get AWS's wording; members without an effect here are refused by name."""
    import botocore.config

    unchecked = botocore.config.Config(parameter_validation=False)
    sagemaker = account.client("sagemaker", config=unchecked)
    code, message = error_of(sagemaker.create_training_job, **{**account.request("bad"), **members})
    assert code == "ValidationException"
    assert words in message
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_accelerators_are_refused_as_a_quota(account: Account) -> None:
    """A CPU never stands in for a GPU."""
    request = account.request("gpu")
    request["ResourceConfig"]["InstanceType"] = "ml.p3.2xlarge"
    code, message = error_of(account.client("sagemaker").create_training_job, **request)
    assert code == "ResourceLimitExceeded"
    assert message.startswith("The account-level service limit 'ml.p3.2xlarge for training job usage' is 0 Instances")


def test_metric_definitions_of_built_ins_cannot_be_replaced(account: Account) -> None:
    """AWS's own algorithms bring their definitions; a request's are refused."""
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    algorithm = {
        "TrainingImage": image,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "x", "Regex": "x=(.*)"}],
    }
    code, message = error_of(
        account.client("sagemaker").create_training_job, **account.request("own", AlgorithmSpecification=algorithm)
    )
    assert code == "ValidationException"
    assert "metric definitions" in message


def test_list_filters_sorts_and_pages(account: Account) -> None:
    """Every filter, every order, and pages that together hold each job once."""
    sagemaker = account.client("sagemaker")
    for name in ("b-one", "a-two", "b-three"):
        account.train(name)
    account.fail("c-four", {"exit": "1"})

    def names(**parameters: Any) -> list[str]:
        return [job["TrainingJobName"] for job in sagemaker.list_training_jobs(**parameters)["TrainingJobSummaries"]]

    assert names() == ["b-one", "a-two", "b-three", "c-four"]
    assert names(SortOrder="Descending") == ["c-four", "b-three", "a-two", "b-one"]
    assert names(SortBy="Name") == ["a-two", "b-one", "b-three", "c-four"]
    assert names(SortBy="Status", SortOrder="Descending")[0] == "c-four"
    assert names(NameContains="b-") == ["b-one", "b-three"]
    assert names(StatusEquals="Failed") == ["c-four"]
    middle = describe(account, "a-two")["CreationTime"]
    assert names(CreationTimeAfter=middle) == ["b-three", "c-four"]
    assert names(CreationTimeBefore=middle) == ["b-one"]
    pages = sagemaker.get_paginator("list_training_jobs").paginate(SortBy="Name", PaginationConfig={"PageSize": 1})
    assert [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]] == names(SortBy="Name")
    token = sagemaker.list_training_jobs(MaxResults=1)["NextToken"]
    assert error_of(sagemaker.list_training_jobs, NextToken=token, SortBy="Name")[0] == "ValidationException"
    for junk in ("junk", "NQ==", "W10=", "eyJhIjogMX0=", "WyJhIiwge30sICJiIl0="):
        assert error_of(sagemaker.list_training_jobs, NextToken=junk)[0] == "ValidationException"
    summary = sagemaker.list_training_jobs(NameContains="c-four")["TrainingJobSummaries"][0]
    assert summary["TrainingJobStatus"] == "Failed"
    assert {"TrainingJobArn", "CreationTime", "LastModifiedTime", "TrainingEndTime"} <= summary.keys()


def test_tags(account: Account) -> None:
    """Tags come with the request, and can be added, replaced, listed and removed."""
    sagemaker = account.client("sagemaker")
    arn = account.train("tagged", Tags=[{"Key": "team", "Value": "a"}])["TrainingJobArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "b"}, {"Key": "stage", "Value": "x"}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "stage", "Value": "x"},
        {"Key": "team", "Value": "b"},
    ]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team", "never-there"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "x"}]
    assert error_of(sagemaker.list_tags, ResourceArn=arn + "-not")[0] == "ResourceNotFound"
    code, _ = error_of(sagemaker.add_tags, ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": "y"}])
    assert code == "ValidationException"


@pytest.mark.parametrize(
    ("expression", "words"), [("val=(", "is no regular expression"), ("val=.*", "has no capture group")]
)
def test_metric_definition_that_could_never_match(account: Account, expression: str, words: str) -> None:
    """Said at once, rather than by a metric that never comes."""
    algorithm = account.request("x")["AlgorithmSpecification"]
    algorithm["MetricDefinitions"] = [{"Name": "loss", "Regex": expression}]
    request = account.request("never", AlgorithmSpecification=algorithm)
    code, message = error_of(account.client("sagemaker").create_training_job, **request)
    assert code == "ValidationException"
    assert words in message


def test_expression_that_takes_for_ever_costs_only_its_metric(account: Account) -> None:
    """The job completes, its log is whole, and other metrics come."""
    algorithm = account.request("x")["AlgorithmSpecification"]
    algorithm["MetricDefinitions"] = [
        {"Name": "evil", "Regex": "(a+)+;"},
        {"Name": "loss", "Regex": "loss=([0-9.]+)"},
    ]
    lines = ["a" * 40, "loss=0.5"] * 5
    job = account.train("slow-regex", {"lines": json.dumps(lines)}, AlgorithmSpecification=algorithm)
    assert [metric["MetricName"] for metric in job["FinalMetricDataList"]] == ["loss"]
    events = account.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="slow-regex/"
    )["events"]
    assert [event["message"] for event in events] == lines


def test_refused_requests_leave_nothing_behind(account: Account) -> None:
    """Tags that AWS refuses, and a channel named like a way out."""
    sagemaker = account.client("sagemaker")
    for tags in ([{"Key": "aws:x", "Value": "y"}], [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]):
        assert error_of(sagemaker.create_training_job, **account.request("bad", Tags=tags))[0] == "ValidationException"
    account.client("s3").put_object(Bucket="data", Key="train/a", Body=b"x")
    channel = account.channel("..", "train/")
    request = account.request("bad", InputDataConfig=[channel])
    assert "cannot be a folder" in error_of(sagemaker.create_training_job, **request)[1]
    assert not list((account.stage.folder.jobs).glob("*/bad"))


def test_operation_that_is_not_there_says_so(account: Account) -> None:
    """A 4xx that names the operation: the SDK does not try again."""
    code, message = error_of(account.client("sagemaker").list_domains)
    assert code == "UnknownOperationException"
    assert "ListDomains is not implemented" in message


def test_queued_jobs_all_run(account: Account) -> None:
    """More jobs than slots wait for their turn; none is lost."""
    sagemaker = account.client("sagemaker")
    for number in range(6):
        sagemaker.create_training_job(**account.request(f"queue-{number}"))
    for number in range(6):
        assert account.settle(f"queue-{number}")["TrainingJobStatus"] == "Completed"
