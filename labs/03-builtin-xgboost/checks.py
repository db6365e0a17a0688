"""What lab 03 asks of the account: bucket -> channels -> job -> artifact, each link followed from the one before.

The job is the newest one of the learner's; the files are those that its channels name, so names and folders are the
learner's own choice. What the files hold is judged by `findings.py`, the artifact by `score.py`, both in processes of
their own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ClientError

from stagemaker_labs.checking import Account, after, wrong

CHANNELS = ("train", "validation")
METRIC = "validation:auc"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
IMAGE = re.compile(
    r"(?P<registry>\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?)/sagemaker-xgboost:(?P<tag>[\w.-]+)"
)
IMAGE_ACCOUNTS = {
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
    "eu-central-1": "492215442770",
    "eu-north-1": "662702820516",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "eu-west-3": "659782779980",
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-south-1": "720646828776",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ca-central-1": "341280168497",
    "sa-east-1": "737474898029",
}
"""The account from which AWS gives sagemaker-xgboost, by region; in other regions no account is asked for."""
S3_URI = re.compile(r"s3://(?P<bucket>[^/]+)/?(?P<key>.*)")

GOOD_AUC = 0.88
"""On the held-back customers. Honest boosting lands at 0.90 to 0.93 whatever the encoding, the split or the depth; one
shallow tree or a linear model stays below 0.86 (`author/figures.py` measures it)."""

SAME_AUC = 0.001
"""The log rounds to 0.00001; the rest is room for another version of the library."""

CLOCK = timedelta(seconds=2)
"""S3 writes whole seconds, SageMaker fractions."""

NEWEST = 20
"""How many of the account's newest jobs are looked through for one that reads the lab's bucket."""

MISTAKES = {
    "LIBSVM": ("without ContentType the algorithm takes every file for libsvm", "set ContentType `text/csv`"),
    "Missing required hyperparameter": ("XGBoost has no default for num_round", "give num_round"),
    "Extraneous hyperparameter": ("a name is misspelt, or no hyperparameter of this version", "correct that name"),
    "is not a number": ("a cell of the files is text", "encode that column as numbers"),
    "label must be in [0,1]": ("the label is not first, or not 0 and 1", "put the label first, as 0 and 1"),
    "Metric 'auc'": ("auc ranks two classes: it needs a binary objective", "set objective `binary:logistic`"),
}
"""Words of a FailureReason, what they mean most often, and what to do."""


@dataclass(frozen=True)
class Channel:
    """One channel: where it reads, as what, and when each object there was last written, by `s3://` URI."""

    uri: str
    content_type: str
    data_type: str
    objects: Mapping[str, datetime]


class Work:
    """The learner's work as it stands in the account, asked once for each run of the checks."""

    def __init__(self, account: Account) -> None:
        self.account = account

    @cached_property
    def job(self) -> dict[str, Any] | None:
        """The newest training job whose name begins with LAB_PREFIX or that reads the lab's bucket."""
        sagemaker = self.account.client("sagemaker")

        def newest(**conditions: str) -> list[dict[str, Any]]:
            # A job can never be deleted: one from before a reset is no work of now.
            since = {"CreationTimeAfter": self.account.since} if self.account.since else {}
            answer = sagemaker.list_training_jobs(
                SortBy="CreationTime", SortOrder="Descending", MaxResults=NEWEST, **since, **conditions
            )
            return list(answer["TrainingJobSummaries"])

        def describe(summary: Mapping[str, Any]) -> dict[str, Any]:
            return dict(sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"]))

        prefix = self.account.prefix
        named = next((job for job in newest(NameContains=prefix) if job["TrainingJobName"].startswith(prefix)), None)
        for summary in newest():
            if named and summary["CreationTime"] <= named["CreationTime"]:
                break
            job = describe(summary)
            if self._reads_bucket(job):
                return job
        return describe(named) if named else None

    @property
    def name(self) -> str:
        """How cards call the job."""
        return f"training job {self.job['TrainingJobName']}" if self.job else "no training job"

    @cached_property
    def channels(self) -> dict[str, Channel]:
        """What the job reads; while there is no job, the folders `train/` and `validation/` of the lab's bucket."""
        if self.job is None:
            return {name: self._folder(name) for name in CHANNELS}
        found = {}
        for entry in self.job.get("InputDataConfig", []):
            source = entry["DataSource"].get("S3DataSource", {})
            uri = source.get("S3Uri", "")
            data_type = source.get("S3DataType", "no S3DataSource")
            objects = self._objects(uri) if data_type == "S3Prefix" else {}
            found[entry["ChannelName"]] = Channel(uri, entry.get("ContentType", ""), data_type, objects)
        return found

    @cached_property
    def payload(self) -> dict[str, Any]:
        """What the helper processes are told: paths of the data set and of the downloaded files."""
        return {
            "customers": str(self.account.lab.datasets / "churn" / "customers.csv"),
            "heldback": str(self.account.held_back("churn/heldback.csv")),
            **{name: {uri: str(self.download(uri)) for uri in self.channels[name].objects} for name in CHANNELS},
        }

    @cached_property
    def findings(self) -> dict[str, Any]:
        """The cards of `findings.py`, by finding."""
        return self._told_by("findings.py", self.payload)

    @cached_property
    def artifact(self) -> str:
        """The URI of the job's artifact; empty when the job has none."""
        return str((self.job or {}).get("ModelArtifacts", {}).get("S3ModelArtifacts", ""))

    @cached_property
    def score(self) -> dict[str, Any]:
        """The answer of `score.py`."""
        return self._told_by("score.py", {**self.payload, "artifact": str(self.download(self.artifact))})

    def _told_by(self, script: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The script's answer; one of an earlier run serves again for the same bytes of all files and scripts."""
        paths = [path for told in payload.values() for path in ([told] if isinstance(told, str) else told.values())]
        scripts = sorted(Path(__file__).parent.glob("*.py"))
        digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (*paths, *scripts)]
        # The URIs stand in the answer, so they are part of what it depends on.
        uris = [uri for name in CHANNELS for uri in payload[name]]
        return self.account.isolated(script, payload, reuse_key=json.dumps([digests, uris]))

    def download(self, uri: str) -> Path:
        """The object at `uri` as a file."""
        match = S3_URI.fullmatch(uri)
        assert match, f"{uri} is no S3 URI"
        return self.account.download(match["bucket"], match["key"])

    def written(self, uri: str) -> datetime | None:
        """When the object at `uri` was last written; None when there is none."""
        return self._objects(uri).get(uri)

    def _reads_bucket(self, job: Mapping[str, Any]) -> bool:
        entries = job.get("InputDataConfig", [])
        uris = [entry["DataSource"].get("S3DataSource", {}).get("S3Uri", "") for entry in entries]
        return any(uri.startswith(f"s3://{self.account.bucket}/") for uri in uris)

    def _folder(self, name: str) -> Channel:
        stored = self._objects(f"s3://{self.account.bucket}/")
        inside = {uri: at for uri, at in stored.items() if f"/{name}/" in uri}
        newest = max(inside, key=lambda uri: inside[uri], default=f"s3://{self.account.bucket}/{name}/")
        folder = newest[: newest.rindex(f"/{name}/") + len(name) + 2]
        return Channel(folder, "", "S3Prefix", {uri: at for uri, at in inside.items() if uri.startswith(folder)})

    def _objects(self, uri: str) -> dict[str, datetime]:
        """The objects under `uri` that hold anything; none when it is no S3 URI or the bucket does not exist."""
        match = S3_URI.fullmatch(uri)
        if not match:
            return {}
        pages = self.account.client("s3").get_paginator("list_objects_v2")
        try:
            found = [
                entry
                for page in pages.paginate(Bucket=match["bucket"], Prefix=match["key"])
                for entry in page.get("Contents", [])
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucket":
                return {}
            raise
        return {f"s3://{match['bucket']}/{entry['Key']}": entry["LastModified"] for entry in found if entry["Size"]}


@pytest.fixture(scope="module")
def work(account: Account) -> Work:
    """The learner's work."""
    return Work(account)


def judge(work: Work, finding: str) -> None:
    """Fail with the card that `findings.py` gave for `finding`, if it gave one."""
    card = work.findings[finding]
    if card:
        wrong(**card)


def test_files_in_place(work: Work) -> None:
    """the train and the validation channel hold files"""
    for name in CHANNELS:
        channel = work.channels.get(name)
        if channel is None:
            wrong(
                looked_at=f"the channels of {work.name}",
                found=", ".join(sorted(work.channels)) or "no channel",
                expected="two channels, `train` and `validation`",
                likely="XGBoost knows its channels by these names; without `validation` it reports no validation:auc",
                next=f"add the channel `{name}` to InputDataConfig",
            )
        if channel.data_type != "S3Prefix":
            wrong(
                looked_at=f"channel {name} of {work.name}",
                found=channel.data_type,
                expected="an S3DataSource of S3DataType S3Prefix",
                likely="this lab follows a channel to its objects by their prefix",
                next="name the folder in S3Uri, with S3DataType `S3Prefix`",
            )
        if not channel.objects:
            wrong(
                looked_at=channel.uri,
                found="no object that holds anything",
                expected="the customers as CSV, in one file or several",
                likely="the upload is still to be written, or went to another key or bucket",
                next=f"upload to s3://$LAB_BUCKET/{name}/",
            )


@after(test_files_in_place)
def test_numbers_only(work: Work) -> None:
    """the files hold numbers only: no header row, no text"""
    judge(work, "numbers")


@after(test_numbers_only)
def test_rows_are_customers(work: Work) -> None:
    """every row is a customer of the table"""
    judge(work, "customers")


@after(test_rows_are_customers)
def test_label_first(work: Work) -> None:
    """the label is the first column, 1 for a customer who left"""
    judge(work, "label")


@after(test_label_first)
def test_no_leakage(work: Work) -> None:
    """every feature comes from the customer table, none from the answer"""
    judge(work, "features")


@after(test_rows_are_customers)
def test_customers_once(work: Work) -> None:
    """every customer stands in one of the files, once"""
    judge(work, "once")


@after(test_rows_are_customers)
def test_nothing_held_back(work: Work) -> None:
    """no held-back customer was given to the model"""
    judge(work, "held_back")


@after(test_label_first)
def test_split_is_stratified(work: Work) -> None:
    """train and validation hold the same share of churners"""
    judge(work, "stratified")


@after(test_files_in_place)
def test_job_reads_csv(work: Work) -> None:
    """a training job reads both channels as text/csv"""
    if work.job is None:
        wrong(
            looked_at=f"training jobs whose name begins with {work.account.prefix} or that read the lab's bucket",
            found="no training job",
            expected="a job that read the two channels",
            likely="the job is still to be written; a model that was put into the bucket by hand proves no training",
            next="create_training_job with a name that begins with $LAB_PREFIX",
        )
    for name in CHANNELS:
        channel = work.channels[name]
        if channel.content_type != "text/csv":
            wrong(
                looked_at=f"channel {name} of {work.name}",
                found=f"ContentType {channel.content_type or 'not set'}; the job is {work.job['TrainingJobStatus']}",
                expected="ContentType text/csv",
                likely="XGBoost takes a channel without ContentType for libsvm",
                next="set ContentType `text/csv` on both channels, and give the next job a new name",
            )
        late = [uri for uri, at in channel.objects.items() if at > work.job["CreationTime"] + CLOCK]
        if late:
            wrong(
                looked_at=late[0],
                found=f"written at {channel.objects[late[0]]:%H:%M:%S}, after the job was created "
                f"at {work.job['CreationTime']:%H:%M:%S}",
                expected="files that the job can have read",
                likely="the files were changed after the training, so the model knows other ones",
                next="train again on the files as they are now",
            )


@after(test_job_reads_csv)
def test_job_completed(work: Work) -> None:
    """the job ran on the built-in XGBoost image, for two classes, and completed"""
    assert work.job
    status, hyperparameters = work.job["TrainingJobStatus"], work.job.get("HyperParameters", {})
    image = work.job.get("AlgorithmSpecification", {}).get("TrainingImage", "")
    built_in = IMAGE.fullmatch(image)
    if not built_in or "sagemaker_program" in hyperparameters:
        wrong(
            looked_at=f"TrainingImage of {work.name}",
            found=image + (" with a script of your own" if "sagemaker_program" in hyperparameters else ""),
            expected="the built-in algorithm: ACCOUNT.dkr.ecr.REGION.amazonaws.com/sagemaker-xgboost:3.2-0",
            likely="not the built-in algorithm: `xgboost:1` is its 2018 version 0.72, other names are other images",
            next="take the URI from the guide's table",
        )
    owner = IMAGE_ACCOUNTS.get(work.account.region)
    registry = f"{owner}.dkr.ecr.{work.account.region}.amazonaws.com"
    if owner and built_in["registry"] != registry:
        wrong(
            looked_at=f"TrainingImage of {work.name}",
            found=image,
            expected=f"the registry of AWS for {work.account.region}: {registry}",
            likely="another account's or another region's registry: on AWS no such image could be pulled from there",
            next="take the account from the guide's table, and give the next job a new name",
        )
    if status != "Completed":
        reason = work.job.get("FailureReason", "")
        likely, step = next((told for words, told in MISTAKES.items() if words in reason), ("", ""))
        secondary = work.job["SecondaryStatus"]
        reached = status if secondary == status else f"{status}, {secondary}"
        waiting = status in {"InProgress", "Stopping"}
        wrong(
            looked_at=work.name,
            found=f"{reached}: {reason}" if reason else reached,
            expected="Completed",
            likely=likely or ("lab.py did not wait for the job" if waiting else "the job's log says more"),
            next=step
            or ("wait by training_job_completed_or_stopped" if waiting else f"read its stream in {LOG_GROUP}"),
        )
    objective = hyperparameters.get("objective", "not set, so reg:squarederror")
    if objective != "binary:logistic":
        wrong(
            looked_at=f"hyperparameters of {work.name}",
            found=f"objective {objective}",
            expected="objective binary:logistic, which answers with the probability that a customer leaves",
            likely="the objective does not fit a label of two classes; XGBoost's default is regression",
            next="set objective `binary:logistic`",
        )


def log_is_gone(work: Work, found: str) -> NoReturn:
    """Fail: the log of the job was deleted."""
    wrong(
        looked_at=f"the log group {LOG_GROUP}, streams of {work.name}",
        found=found,
        expected="the log of the job, in which every round has its validation-auc",
        likely="the log group or the stream was deleted after the training; the next job makes them again",
        next="train again, under a new name, and keep the log",
    )


@after(test_job_completed)
def test_metrics(work: Work) -> None:
    """the job reported its AUC on the validation customers"""
    assert work.job
    final = {entry["MetricName"]: entry["Value"] for entry in work.job.get("FinalMetricDataList", [])}
    if METRIC not in final:
        wrong(
            looked_at=f"FinalMetricDataList of {work.name}",
            found=", ".join(sorted(final)) or "no metric",
            expected=METRIC,
            likely="without eval_metric XGBoost reports its default, logloss",
            next="set eval_metric `auc`",
        )
    # From here on the learner can only have deleted the log: what else does not agree could not be checked.
    job = work.job["TrainingJobName"]
    answer = work.account.client("cloudwatch").get_metric_statistics(
        Namespace=LOG_GROUP,
        MetricName=METRIC,
        Dimensions=[{"Name": "TrainingJobName", "Value": job}],
        StartTime=work.job["CreationTime"].replace(second=0, microsecond=0),
        EndTime=work.job["LastModifiedTime"] + timedelta(minutes=1),
        Period=60,
        Statistics=["Minimum", "Maximum"],
    )
    points = answer["Datapoints"]
    if not any(point["Minimum"] - 1e-5 <= final[METRIC] <= point["Maximum"] + 1e-5 for point in points):
        raise LookupError(f"{METRIC} of {job} is {final[METRIC]}, CloudWatch has {points}")
    logs = work.account.client("logs")
    try:
        streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/")["logStreams"]
        if not streams:
            log_is_gone(work, "the group, but no stream of this job")
        events = logs.filter_log_events(
            logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/", filterPattern='"validation-auc"', limit=1
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        log_is_gone(work, "no such log group")
    if not events["events"] and "nextToken" not in events:
        raise LookupError(f"{LOG_GROUP} holds no line with validation-auc for {job}")


@after(test_metrics, test_label_first)
def test_artifact(work: Work) -> None:
    """the artifact was written by that job from that data"""
    assert work.job
    written = work.written(work.artifact)
    if written is None:
        wrong(
            looked_at=f"the artifact of {work.name}, {work.artifact}",
            found="no object",
            expected="the job's model.tar.gz",
            likely="it was deleted or moved after the training",
            next="train again",
        )
    job_times = (work.job["CreationTime"] - CLOCK, work.job["TrainingEndTime"] + CLOCK)
    if not job_times[0] <= written <= job_times[1]:
        wrong(
            looked_at=work.artifact,
            found=f"written at {written:%H:%M:%S}; the job ran from {job_times[0]:%H:%M:%S} to {job_times[1]:%H:%M:%S}",
            expected="an artifact as old as its job",
            likely="another model was put in its place by hand",
            next="train again, and leave the artifact as the job writes it",
        )
    problem = work.score.get("problem")
    if problem:
        expected, likely = {
            "not_tar": ("a gzip tar", "another file was put in its place"),
            "no_model": ("the member `xgboost-model` at the top of the archive", "the archive was packed by hand"),
            "unreadable": ("a model that the xgboost library loads", "the image is older than 3.0: use 3.2-0"),
            "width": ("a model of these columns", "the model was trained on other files"),
        }[problem]
        wrong(
            looked_at=work.artifact,
            found=f"{work.score['features']} features; the files hold {work.score['width']}"
            if problem == "width"
            else work.score["detail"] or "an empty archive",
            expected=expected,
            likely=likely,
            next="train again on the built-in image 3.2-0",
        )
    final = next(entry["Value"] for entry in work.job["FinalMetricDataList"] if entry["MetricName"] == METRIC)
    mine = work.score["validation_auc"]
    # With early stopping the artifact holds the best round, the last metric is of the last round.
    stopped_early = "early_stopping_rounds" in work.job["HyperParameters"]
    if mine < final - SAME_AUC or (mine > final + SAME_AUC and not stopped_early):
        wrong(
            looked_at=f"{work.artifact}, on the validation rows of the same job",
            found=f"AUC {mine:.4f}, but the job reported {final:.4f}",
            expected="the model that reported this",
            likely="this is not the model that the job wrote: another one was put in its place",
            next="train again, and leave the artifact as the job writes it",
        )


@after(test_artifact, test_no_leakage, test_nothing_held_back)
def test_unseen_customers(work: Work) -> None:
    """customers that the model never saw are ranked well"""
    if work.score["auc"] < GOOD_AUC:
        wrong(
            looked_at=f"{work.artifact}, on 1,000 held-back customers in your encoding",
            found=f"AUC {work.score['auc']:.2f} (on your validation rows {work.score['validation_auc']:.2f})",
            expected=f"AUC {GOOD_AUC:.2f} or more",
            likely="too few or too shallow trees to learn from, or the columns that tell were dropped",
            next="train more rounds: num_round 100, max_depth 5, eta 0.2",
        )
