"""The resource engine without a server: documents, lists, what is honoured, transitions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.jobs.record import MetricEvent
from stagemaker.sagemaker.documents import Documents
from stagemaker.sagemaker.honoured import HONOURED, Entry, Only, Recorded, Refused, refuse_unhonoured, rows
from stagemaker.sagemaker.instance_types import needs_accelerator
from stagemaker.sagemaker.listing import list_resources
from stagemaker.sagemaker.training import transitions
from stagemaker.sagemaker.training.events import apply_metric
from stagemaker.sagemaker.training.job import TRAINING_JOB
from stagemaker.sagemaker.training.request import HONOURED_MEMBERS
from stagemaker.store import Store
from stagemaker.wire.errors import AwsError
from stagemaker.wire.message import Caller, Context
from stagemaker.wire.model import load_service_model

CONTEXT = Context("123456789012", "us-east-1", Caller("arn"), "request")
LIST = load_service_model("sagemaker").operation_model("ListTrainingJobs")


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    """An empty store."""
    store = Store(tmp_path / "stage.db")
    yield Documents(store, "123456789012")
    store.close()


def add(documents: Documents, name: str, status: str = "Completed", created: float | None = None) -> None:
    """A finished job."""
    document = {
        "TrainingJobName": name,
        "TrainingJobStatus": status,
        "CreationTime": created if created is not None else time.time(),
    }
    documents.create(TRAINING_JOB, "us-east-1", name, document, {})


def names(documents: Documents, **parameters: Any) -> list[str]:
    """One page of names."""
    page = list_resources(documents, TRAINING_JOB, LIST, CONTEXT, parameters)
    return [summary["TrainingJobName"] for summary in page["TrainingJobSummaries"]]


def test_document_outlives_the_process(tmp_path: Path) -> None:
    """What was created is there when the file is opened again."""
    store = Store(tmp_path / "stage.db")
    add(Documents(store, "123456789012"), "kept")
    store.close()
    again = Store(tmp_path / "stage.db")
    assert Documents(again, "123456789012").get(TRAINING_JOB, "us-east-1", "kept")["TrainingJobName"] == "kept"
    again.close()


def test_taken_name_leaves_no_tags_behind(documents: Documents) -> None:
    """A refused create changes nothing: neither the document nor its tags."""
    add(documents, "one")
    with pytest.raises(AwsError, match="already exists"):
        documents.create(TRAINING_JOB, "us-east-1", "one", {"CreationTime": 0.0}, {"k": "v"})
    assert documents.tags(TRAINING_JOB.arn("us-east-1", "123456789012", "one")) == {}


def test_more_than_fifty_tags_are_refused_whole(documents: Documents) -> None:
    """None of the tags of a refused call stays."""
    with pytest.raises(AwsError, match="at most 50"):
        documents.put_tags("arn", {str(number): "v" for number in range(51)})
    assert documents.tags("arn") == {}


@given(
    st.lists(st.tuples(st.text("ab-", min_size=1, max_size=3), st.floats(0, 5)), unique_by=lambda pair: pair[0]),
    st.sampled_from(["Name", "CreationTime", "Status"]),
    st.sampled_from(["Ascending", "Descending"]),
    st.integers(1, 3),
)
def test_pages_hold_each_job_once_in_order(jobs: list[tuple[str, float]], sort: str, order: str, size: int) -> None:
    """Whatever the names, times, order and page size, equal times included."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "db")
        documents = Documents(store, "123456789012")
        for name, created in jobs:
            add(documents, name, created=round(created))
        seen, token = [], None
        while True:
            parameters = {"SortBy": sort, "SortOrder": order, "MaxResults": size}
            parameters |= {"NextToken": token} if token else {}
            page = list_resources(documents, TRAINING_JOB, LIST, CONTEXT, parameters)
            assert len(page["TrainingJobSummaries"]) <= size
            seen += [summary["TrainingJobName"] for summary in page["TrainingJobSummaries"]]
            token = page.get("NextToken")
            if token is None:
                break
        store.close()
    positions = {name: (round(time), name) for name, time in jobs}
    reverse = order == "Descending"
    expected = (
        sorted(positions, key=lambda name: positions[name], reverse=reverse)
        if sort == "CreationTime"
        else sorted(positions, reverse=reverse)
    )
    assert seen == expected


def test_filter_that_is_not_honoured_is_refused(documents: Documents) -> None:
    """A filter without effect would give a wrong answer."""
    with pytest.raises(AwsError, match="TrainingPlanArnEquals"):
        names(documents, TrainingPlanArnEquals="arn:aws:sagemaker:us-east-1:123456789012:training-plan/a")


def test_name_contains_is_no_pattern(documents: Documents) -> None:
    """Characters that SQL's LIKE knows have no meaning."""
    add(documents, "a-b")
    assert names(documents, NameContains="%") == []
    assert names(documents, NameContains="-") == ["a-b"]


def test_every_create_member_has_an_entry() -> None:
    """No member of the table is misspelt: each is in the API's model."""
    shape = load_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    assert shape is not None
    assert set(HONOURED_MEMBERS) <= set(shape.members)


TABLE: dict[str, Entry] = {
    "Name": HONOURED,
    "Mode": Only(("File",), "no pipes"),
    "Size": Recorded("no limit"),
    "Key": Refused("no keys"),
    "Inner": {"A": HONOURED},
}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"Mode": "Pipe"}, "Mode = 'Pipe': no pipes"),
        ({"Key": "k"}, "Key: no keys"),
        ({"Unheard": 1}, "Unheard"),
        ({"Inner": {"B": 1}}, "Inner.B"),
        ({"Inner": [{"A": 1}, {"B": 1}]}, "Inner.B"),
    ],
)
def test_member_without_an_effect_is_refused_by_its_path(parameters: dict[str, Any], words: str) -> None:
    """The error names the member and says why."""
    with pytest.raises(AwsError, match="cannot honour") as refused:
        refuse_unhonoured(parameters, TABLE)
    assert words in refused.value.message


def test_members_with_an_effect_pass() -> None:
    """Honoured and recorded members, and the values that are allowed."""
    refuse_unhonoured({"Name": "n", "Mode": "File", "Size": 3, "Inner": [{"A": 1}]}, TABLE)


def test_fidelity_page_is_up_to_date() -> None:
    """The pages in the docs are what the tables and the labs say."""
    import importlib.util

    file = Path(__file__).parents[2] / "docs" / "generate.py"
    specification = importlib.util.spec_from_file_location("generate", file)
    assert specification is not None
    assert specification.loader is not None
    generate = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generate)
    assert generate.FIDELITY.read_text() == generate.fidelity()
    assert generate.TARGETS.read_text() == generate.targets()


def test_rows_name_every_mark() -> None:
    """The page tells the four cases apart."""
    assert [mark for _, mark, _ in rows(TABLE)] == ["kept", "in part", "recorded", "refused", "kept"]


@pytest.mark.parametrize(
    ("instance", "accelerated"),
    [
        ("ml.m5.large", False),
        ("ml.c5.xlarge", False),
        ("ml.t3.medium", False),
        ("ml.r5.large", False),
        ("ml.p3.2xlarge", True),
        ("ml.p4de.24xlarge", True),
        ("ml.g4dn.xlarge", True),
        ("ml.g5.xlarge", True),
        ("ml.trn1.2xlarge", True),
        ("ml.inf2.xlarge", True),
    ],
)
def test_accelerators_are_known_by_their_family(instance: str, accelerated: bool) -> None:
    """The letters before the generation tell."""
    assert needs_accelerator(instance) is accelerated


def test_message_of_a_status_is_replaced_not_added() -> None:
    """One transition a status; the next one closes it."""
    document: dict[str, Any] = {}
    transitions.enter(document, "Starting", "a", 1.0)
    transitions.enter(document, "Starting", "b", 2.0)
    transitions.end(document, "Failed", "c", 3.0)
    assert document == {
        "SecondaryStatus": "Failed",
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": 1.0, "EndTime": 3.0, "StatusMessage": "b"},
            {"Status": "Failed", "StartTime": 3.0, "EndTime": 3.0, "StatusMessage": "c"},
        ],
    }


def test_final_metric_is_the_last_one() -> None:
    """One entry a metric, with the time of its last value."""
    document: dict[str, Any] = {}
    for at, name, value in ((1.0, "a", 0.1), (2.0, "b", 0.2), (3.0, "a", 0.3)):
        apply_metric(document, MetricEvent(at, name, value))
    assert document["FinalMetricDataList"] == [
        {"MetricName": "a", "Value": 0.3, "Timestamp": 3.0},
        {"MetricName": "b", "Value": 0.2, "Timestamp": 2.0},
    ]


def unlisted(members: Mapping[str, Any], table: Mapping[str, Entry], path: str = "") -> Iterator[str]:
    """The members of a shape of the API's model that a table says nothing of."""
    for name, shape in members.items():
        match table.get(name):
            case None:
                yield f"{path}{name}"
            case Mapping() as inner:
                yield from unlisted((shape.member if shape.type_name == "list" else shape).members, inner, f"{name}.")


def test_every_member_of_a_training_job_is_judged() -> None:
    """Nothing that CreateTrainingJob knows is left to the general refusal: each has its reason on the fidelity page."""
    request = load_service_model("sagemaker").shape_for("CreateTrainingJobRequest")
    members: Mapping[str, Any] = getattr(request, "members", {})
    assert members
    assert set(unlisted(members, HONOURED_MEMBERS)) <= {"ResourceConfig.KeepAlivePeriodInSeconds"}
