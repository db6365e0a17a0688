"""Invocations: what is answered to which body and headers."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from stagemaker.algorithms.toolkit.messages import Answer
from stagemaker.algorithms.xgboost.inference import Inference
from stagemaker.algorithms.xgboost.predictor import Predictor
from stagemaker.algorithms.xgboost.version import Version

CSV = "text/csv"
JSON = "application/json"
ROWS = 5
COLUMNS = 4

random = np.random.default_rng(17)
FEATURES = random.normal(size=(120, COLUMNS)).round(3).astype(np.float32)
BINARY = (FEATURES[:, 0] + FEATURES[:, 1] > 0).astype(int)
CLASSES = np.digitize(FEATURES[:, 0], [-0.5, 0.5])


def fit(objective: str, rounds: int = 6, **parameters: Any) -> xgboost.Booster:
    """A small model."""
    label = CLASSES if objective.startswith("multi:") else BINARY
    if objective.startswith("multi:"):
        parameters["num_class"] = 3
    if objective in {"reg:gamma", "reg:squarederror", "count:poisson", "survival:cox"}:
        label = np.exp(FEATURES[:, 0])
    matrix = xgboost.DMatrix(FEATURES, label=label, nthread=1)
    return xgboost.train({"objective": objective, "nthread": 1, **parameters}, matrix, rounds)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An empty model folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def save(booster: xgboost.Booster, folder: Path, name: str = "xgboost-model") -> Path:
    """Put a model into the folder."""
    (folder / name).write_bytes(booster.save_raw("ubj"))
    return folder


def serving(folder: Path, tag: str = "3.2-0", **environment: str) -> Inference:
    """The handler over a model folder."""
    return Inference(Predictor(folder, environment), Version.of_tag(tag), environment)


def csv_body(rows: int = ROWS, columns: int = COLUMNS) -> bytes:
    """The first records as CSV without labels."""
    return "\n".join(",".join(f"{value:.3f}" for value in row[:columns]) for row in FEATURES[:rows].tolist()).encode()


def text(answer: Answer) -> str:
    """The body of an answer that succeeded."""
    assert answer.status == 200, answer.body
    return answer.body.decode()


OBJECTIVES = [
    ("binary:logistic", {}),
    ("binary:logitraw", {}),
    ("binary:hinge", {}),
    ("multi:softmax", {}),
    ("multi:softprob", {}),
    ("reg:squarederror", {}),
    ("reg:gamma", {}),
    ("count:poisson", {}),
    ("survival:cox", {}),
    ("rank:pairwise", {}),
    ("reg:gamma", {"booster": "dart", "rate_drop": 0.5}),
    ("binary:logistic", {"booster": "gblinear"}),
]


@pytest.mark.parametrize(("objective", "parameters"), OBJECTIVES, ids=str)
def test_predictions_are_those_of_the_library(model: Path, objective: str, parameters: dict[str, Any]) -> None:
    """One record a line, digit by digit what the library's model predicts for the same rows."""
    booster = fit(objective, **parameters)
    expected = booster.predict(xgboost.DMatrix(FEATURES[:ROWS], nthread=1)).tolist()
    answer = serving(save(booster, model)).invoke(csv_body(), CSV, None)
    lines = [",".join(map(str, value)) if isinstance(value, list) else str(value) for value in expected]
    assert text(answer) == "".join(f"{line}\n" for line in lines)
    assert answer.content_type == "text/csv; charset=utf-8"


def test_softmax_answers_class_numbers_as_floats(model: Path) -> None:
    """`2.0`, as AWS answers."""
    lines = text(serving(save(fit("multi:softmax"), model)).invoke(csv_body(40), CSV, CSV)).splitlines()
    assert set(lines) == {"0.0", "1.0", "2.0"}


def test_json_and_jsonlines(model: Path) -> None:
    """A score for each prediction, a list of scores for softprob."""
    booster = fit("binary:logistic")
    expected = [{"score": value} for value in booster.predict(xgboost.DMatrix(FEATURES[:ROWS])).tolist()]
    handler = serving(save(booster, model))
    answer = handler.invoke(csv_body(), CSV, JSON)
    assert json.loads(text(answer)) == {"predictions": expected}
    assert answer.content_type == "application/json"
    lines = handler.invoke(csv_body(), CSV, "application/jsonlines")
    assert [json.loads(line) for line in text(lines).splitlines()] == expected
    assert text(lines).endswith("}\n")
    softprob = serving(save(fit("multi:softprob"), model)).invoke(csv_body(2), CSV, JSON)
    assert [len(record["score"]) for record in json.loads(text(softprob))["predictions"]] == [3, 3]


@pytest.mark.parametrize("accept", [None, "", "*/*", "text/csv; charset=utf-8", "TEXT/CSV"])
def test_csv_is_the_default_answer(model: Path, accept: str | None) -> None:
    """Without Accept, and for every spelling of it."""
    assert serving(save(fit("binary:logistic"), model)).invoke(csv_body(1), CSV, accept).content_type == (
        "text/csv; charset=utf-8"
    )


def test_the_default_answer_can_be_chosen(model: Path) -> None:
    """By a variable of the model's environment."""
    handler = serving(save(fit("binary:logistic"), model), SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT=JSON)
    assert "predictions" in json.loads(text(handler.invoke(csv_body(1), CSV, "*/*")))
    assert handler.invoke(csv_body(1), CSV, CSV).content_type == "text/csv; charset=utf-8"


@pytest.mark.parametrize("tag", ["0.90-2", "1.0-1", "1.2-1", "latest"])
def test_old_images_join_with_commas(model: Path, tag: str) -> None:
    """One line without an end, lists in brackets."""
    handler = serving(save(fit("binary:logistic"), model), tag)
    assert re.fullmatch(r"0\.\d+,0\.\d+", text(handler.invoke(csv_body(2), CSV, None)))
    softprob = serving(save(fit("multi:softprob"), model), tag).invoke(csv_body(2), CSV, None)
    assert re.fullmatch(r"\[0\.\d+, 0\.\d+, 0\.\d+\],\[0\.\d+, 0\.\d+, 0\.\d+\]", text(softprob))


@pytest.mark.parametrize("accept", [None, CSV, JSON])
@pytest.mark.parametrize("tag", ["3.2-0", "1.0-1"])
def test_batch_transform_gets_lines(model: Path, accept: str | None, tag: str) -> None:
    """Whatever is accepted; softprob prints Python lists. The content type still names what was accepted."""
    handler = serving(save(fit("binary:logistic"), model), tag, SAGEMAKER_BATCH="true")
    answer = handler.invoke(csv_body(2), CSV, accept)
    assert re.fullmatch(r"0\.\d+\n0\.\d+\n", text(answer))
    assert answer.content_type == (JSON if accept == JSON else "text/csv; charset=utf-8")
    softprob = serving(save(fit("multi:softprob"), model), tag, SAGEMAKER_BATCH="true")
    assert re.fullmatch(r"(\[0\.\d+, 0\.\d+, 0\.\d+\]\n){2}", text(softprob.invoke(csv_body(2), CSV, accept)))


# Bodies


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_csv_bodies(model: Path, delimiter: str, line_end: str) -> None:
    """Any delimiter and line end, and an end of line behind the last record."""
    handler = serving(save(fit("reg:squarederror"), model))
    body = csv_body().decode().replace(",", delimiter).replace("\n", line_end) + line_end
    assert text(handler.invoke(body.encode(), CSV, None)) == text(handler.invoke(csv_body(), CSV, None))


@pytest.mark.parametrize("row", ["0.5,,1,", "0.5,nan,1,NaN"])
def test_blank_cells_are_missing(model: Path, row: str) -> None:
    """In the first, a middle and the last column, among complete records."""
    booster = fit("reg:squarederror")
    features = np.array([[0.5, np.nan, 1, np.nan], [1, 2, 3, 4]], dtype=np.float32)
    expected = booster.predict(xgboost.DMatrix(features)).tolist()
    answer = serving(save(booster, model)).invoke(f"{row}\n1,2,3,4".encode(), CSV, None)
    assert text(answer).splitlines() == [str(value) for value in expected]


def test_fewer_columns_count_as_missing(model: Path) -> None:
    """As the library reads a narrower matrix; with one column too, which has no delimiter."""
    booster = fit("reg:squarederror")
    handler = serving(save(booster, model))
    for columns in (1, 3):
        expected = booster.predict(xgboost.DMatrix(FEATURES[:ROWS, :columns]), validate_features=False).tolist()
        assert text(handler.invoke(csv_body(columns=columns), CSV, None)).splitlines() == [str(v) for v in expected]


def test_more_columns_cannot_be_evaluated(model: Path) -> None:
    """400 with the library's sentence; the label left in is the usual reason."""
    answer = serving(save(fit("reg:squarederror"), model)).invoke(b"1,2,3,4,5", CSV, None)
    assert answer.status == 400
    assert answer.body.startswith(b"Unable to evaluate payload provided: ")
    assert answer.body.endswith(b"Number of columns does not match number of features in booster.")


@pytest.mark.parametrize("content_type", ["text/libsvm", "text/x-libsvm; charset=utf-8", None])
def test_libsvm_bodies(model: Path, content_type: str | None) -> None:
    """Absent columns are missing, labels are ignored, no content type means libsvm."""
    booster = fit("reg:squarederror")
    features = np.array([[0.5, np.nan, 1, np.nan], [np.nan, np.nan, np.nan, 2]], dtype=np.float32)
    expected = [str(value) for value in booster.predict(xgboost.DMatrix(features)).tolist()]
    handler = serving(save(booster, model))
    for body in (b"0:0.5 2:1\n3:2\n", b"7 0:0.5 2:1\n0 3:2"):
        assert text(handler.invoke(body, content_type, None)).splitlines() == expected


def test_libsvm_that_counts_from_one(model: Path) -> None:
    """Moved down by one when it would not fit the model, taken as it stands when it fits."""
    booster = fit("reg:squarederror")
    handler = serving(save(booster, model))
    whole = np.array([[0.5, 0.1, 1, 2]], dtype=np.float32)
    shifted = handler.invoke(b"1:0.5 2:0.1 3:1 4:2", "text/libsvm", None)
    assert text(shifted) == f"{booster.predict(xgboost.DMatrix(whole)).tolist()[0]}\n"
    part = np.array([[np.nan, 0.5, 0.1, 1]], dtype=np.float32)
    kept = handler.invoke(b"1:0.5 2:0.1 3:1", "text/libsvm", None)
    assert text(kept) == f"{booster.predict(xgboost.DMatrix(part)).tolist()[0]}\n"


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"1,2,3,a", "csv", " <class 'ValueError'>\n could not convert string to float: 'a'"),
        (b"1,2,3,4\n1,2", "csv", " <class 'ValueError'>\n setting an array element with a sequence."),
        (b"1,2,3,4\n\n1,2,3,4", "csv", " <class 'ValueError'>\n setting an array element with a sequence."),
        (b'{"instances": [1]}', "csv", " <class 'ValueError'>\n could not convert string to float: "),
        (b"\xff\xfe1,2", "csv", " <class 'UnicodeDecodeError'>\n 'utf-8' codec can't decode"),
        (b" \n ", "csv", " <class '_csv.Error'>\n Could not determine delimiter"),
        (b"0:a", "libsvm", " <class 'ValueError'>\n could not convert string to float: 'a'"),
        (b"x:1", "libsvm", " <class 'ValueError'>\n invalid literal for int() with base 10: 'x'"),
        (b"-1:1", "libsvm", " <class 'ValueError'>\n negative column index"),
        (b"\x00\x01", "recordio-protobuf", " <class 'ValueError'>\n truncated record at byte 0"),
    ],
)
def test_bodies_that_are_not_what_they_claim(model: Path, body: bytes, kind: str, reason: str) -> None:
    """415 with AWS's heading, the class of the error and its text."""
    header = {"csv": CSV, "libsvm": "text/libsvm", "recordio-protobuf": "application/x-recordio-protobuf"}[kind]
    answer = serving(save(fit("reg:squarederror"), model)).invoke(body, header, None)
    assert answer.status == 415
    heading = f"Loading {kind} data failed with Exception, please ensure data is in {kind} format:\n"
    assert answer.body.decode().startswith(heading + reason)


@pytest.mark.parametrize(
    ("body", "kind"), [(b"1,inf,3,4", "csv"), (b"1,2\n1,-1e39", "csv"), (b"0:1 2:inf", "libsvm")], ids=str
)
def test_infinity_is_refused(model: Path, body: bytes, kind: str) -> None:
    """415 with the library's sentence, for every kind of model: AWS makes a matrix of the body, which refuses it."""
    for booster in (fit("reg:squarederror"), fit("reg:squarederror", booster="gblinear")):
        answer = serving(save(booster, model)).invoke(body, f"text/{kind}", None)
        assert answer.status == 415
        assert f"Loading {kind} data failed with Exception" in answer.body.decode()
        assert answer.body.endswith(
            b"Input data contains `inf` or a value too large, while `missing` is not set to `inf`"
        )


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("application/json", "application/json is not an accepted ContentType: csv, libsvm, "),
        ("application/x-parquet", "Content-type application/x-parquet is not supported."),
        ("text/csv; label_size=1; x", ""),
        ("text/csv; label_size=0", "text/csv; label_size=0 is not an accepted csv ContentType."),
    ],
)
def test_content_types(model: Path, content_type: str, reason: str) -> None:
    """415 for those that are not served."""
    answer = serving(save(fit("reg:squarederror"), model)).invoke(csv_body(1), content_type, None)
    assert answer.status == (415 if reason else 200)
    assert answer.body.decode().startswith(reason)


def test_an_empty_body_has_no_content(model: Path) -> None:
    """204, before anything else is looked at."""
    answer = serving(model).invoke(b"", "application/json", "image/png")
    assert (answer.status, answer.body, answer.content_type) == (204, b"", None)


def test_accept_that_is_not_served(model: Path) -> None:
    """406 with AWS's list, after the prediction."""
    handler = serving(save(fit("reg:squarederror"), model))
    answer = handler.invoke(csv_body(1), CSV, "image/png")
    assert answer.status == 406
    assert answer.body.decode() == (
        "Accept type image/png is not supported. Please use supported accept types: ['application/json', "
        "'application/jsonlines', 'application/x-recordio-protobuf', 'text/csv']."
    )
    assert handler.invoke(b"1,2,3,4,5", CSV, "image/png").status == 400


def test_a_model_that_cannot_be_loaded(model: Path) -> None:
    """500, but a body that cannot be read comes first."""
    (model / "xgboost-model").write_bytes(b"not a model")
    handler = serving(model)
    answer = handler.invoke(csv_body(1), CSV, None)
    assert answer.status == 500
    assert answer.body.decode().startswith("Unable to load model: Model at ")
    assert handler.invoke(b"a,b", CSV, None).status == 415
    assert serving(model / "none").invoke(csv_body(1), CSV, None).status == 500


# Models


@pytest.mark.parametrize("rounds", [1, 4])
def test_the_best_iteration_is_used(model: Path, rounds: int) -> None:
    """A model that remembers its best round predicts with the rounds up to it."""
    booster = fit("reg:squarederror", rounds=6)
    booster.set_attr(best_iteration=str(rounds - 1))
    expected = fit("reg:squarederror", rounds=rounds).predict(xgboost.DMatrix(FEATURES[:ROWS])).tolist()
    answer = serving(save(booster, model)).invoke(csv_body(), CSV, None)
    assert text(answer).splitlines() == [str(value) for value in expected]


def test_pickled_models_check_the_number_of_features(model: Path) -> None:
    """N or n - 1 columns of CSV, at most n + 1 of libsvm; native models check nothing."""
    (model / "xgboost-model").write_bytes(pickle.dumps(fit("reg:squarederror")))
    handler = serving(model, "1.2-2")
    for columns in (3, 4):
        assert handler.invoke(csv_body(columns=columns), CSV, None).status == 200
    narrow = handler.invoke(csv_body(columns=2), CSV, None)
    assert narrow.status == 400
    assert narrow.body.decode() == (
        "Unable to evaluate payload provided: Feature size of csv inference data 2 is not consistent with feature "
        "size of trained model 4."
    )
    wide = handler.invoke(b"0:1 5:2", "text/libsvm", None)
    assert wide.body.decode() == (
        "Unable to evaluate payload provided: Feature size of libsvm inference data 6 is larger than feature size of "
        "trained model 4."
    )


def test_an_ensemble_averages(model: Path) -> None:
    """All model files of the folder, unless the variable says no."""
    boosters = [fit("binary:logistic", rounds=rounds) for rounds in (1, 5)]
    for number, booster in enumerate(boosters):
        save(booster, model, f"xgboost-model-{number}")
    each = [booster.predict(xgboost.DMatrix(FEATURES[:ROWS])) for booster in boosters]
    mean = text(serving(model).invoke(csv_body(), CSV, None)).split()
    np.testing.assert_allclose([float(value) for value in mean], np.mean(each, axis=0), rtol=1e-6)
    first = serving(model, SAGEMAKER_INFERENCE_ENSEMBLE="false").invoke(csv_body(), CSV, None)
    assert text(first).split() == [str(value) for value in each[0].tolist()]


def test_an_ensemble_of_classes_votes(model: Path) -> None:
    """The most frequent class wins."""
    boosters = [fit("multi:softmax", rounds=rounds, eta=eta) for rounds, eta in ((1, 0.01), (9, 0.5), (9, 0.5))]
    for number, booster in enumerate(boosters):
        save(booster, model, f"xgboost-model-{number}")
    answer = text(serving(model).invoke(csv_body(50), CSV, None)).split()
    assert answer == [str(value) for value in boosters[1].predict(xgboost.DMatrix(FEATURES[:50])).tolist()]


# Selectable inference


def selected(model: Path, objective: str, keys: str, accept: str = JSON, **environment: str) -> Answer:
    """One prediction with SAGEMAKER_INFERENCE_OUTPUT."""
    handler = serving(save(fit(objective), model), SAGEMAKER_INFERENCE_OUTPUT=keys, **environment)
    return handler.invoke(csv_body(1), CSV, accept)


ALL_KEYS = "predicted_label, labels, probability, probabilities, raw_score, raw_scores"


@pytest.mark.parametrize(
    ("objective", "keys"),
    [
        ("binary:logistic", ["predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores"]),
        ("binary:logitraw", ["predicted_label", "labels", "raw_score", "raw_scores"]),
        ("binary:hinge", ["predicted_label", "labels", "raw_score", "raw_scores"]),
        ("multi:softmax", ["predicted_label", "labels", "raw_score", "raw_scores"]),
        ("multi:softprob", ["predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores"]),
    ],
)
def test_selectable_content_by_objective(model: Path, objective: str, keys: list[str]) -> None:
    """Keys that the objective does not have are NaN; the others follow from the prediction."""
    record = json.loads(text(selected(model, objective, ALL_KEYS)))["predictions"][0]
    prediction = fit(objective).predict(xgboost.DMatrix(FEATURES[:1])).tolist()[0]
    assert {key for key, value in record.items() if value == value} == set(keys)  # noqa: PLR0124 - NaN differs from itself
    is_list = isinstance(prediction, list)
    best = max(prediction) if is_list else prediction
    label = {
        "binary:logistic": best > 0.5,
        "binary:logitraw": best > 0,
        "multi:softprob": prediction.index(best) if is_list else None,
    }.get(objective, prediction)
    assert record["predicted_label"] == label
    assert record["labels"] == ([0, 1, 2] if objective.startswith("multi:") else [0, 1])
    assert record["raw_score"] == best
    assert record["raw_scores"] == (prediction if is_list else [1 - prediction, prediction])
    if "probability" in keys:
        assert record["probability"] == best
        assert record["probabilities"] == record["raw_scores"]


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:gamma"])
def test_selectable_score_of_regressions(model: Path, objective: str) -> None:
    """Only predicted_score."""
    record = json.loads(text(selected(model, objective, "predicted_score,probability")))["predictions"][0]
    assert record["predicted_score"] == fit(objective).predict(xgboost.DMatrix(FEATURES[:1])).tolist()[0]
    assert record["probability"] != record["probability"]


def test_selectable_csv_keeps_the_order_of_the_keys(model: Path) -> None:
    """Lists in quotes; a line end only for batch transform."""
    answer = text(selected(model, "binary:logistic", "probabilities,predicted_label", CSV))
    assert re.fullmatch(r'"\[0\.\d+, 0\.\d+\]",[01]', answer)
    batch = text(selected(model, "binary:logistic", "probabilities,predicted_label", CSV, SAGEMAKER_BATCH="true"))
    assert batch == answer + "\n"


def test_selectable_jsonlines(model: Path) -> None:
    """One object a line, keys in AWS's order."""
    answer = text(selected(model, "binary:logistic", "probability,predicted_label", "application/jsonlines"))
    assert re.fullmatch(r'\{"predicted_label": [01], "probability": 0\.\d+\}\n', answer)


def test_selectable_inference_is_not_for_every_objective(model: Path) -> None:
    """500 with AWS's sentence."""
    answer = selected(model, "count:poisson", "predicted_score")
    assert answer.status == 500
    assert answer.body == b"Objective `count:poisson` unsupported for selectable inference predictions."


def test_selectable_inference_came_with_1_3(model: Path) -> None:
    """Older images do not look at the variable."""
    handler = serving(save(fit("binary:logistic"), model), "1.2-2", SAGEMAKER_INFERENCE_OUTPUT="predicted_label")
    assert re.fullmatch(r"0\.\d+\n", text(handler.invoke(csv_body(1), CSV, None)))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("odd", ["0.5,,1,1", "+0.5,1,1,1", " 0.5 ,nan,1e0,-.5"])
def test_large_bodies_are_read_as_small_ones(model: Path, odd: str, end: str) -> None:
    """Another parser takes them, with the same predictions; what it refuses goes the slower way."""
    inference = serving(save(fit("binary:logistic"), model))
    lines = ["0.25,1,-1,2.5"] * 800 + [odd]
    whole = text(inference.invoke(end.join(lines).encode(), CSV, None)).splitlines()
    assert len(whole) == 801
    assert whole[-2:] == text(inference.invoke(end.join(lines[-2:]).encode(), CSV, None)).splitlines()


@pytest.mark.parametrize("fault", ["0.5,x,1,1", "0.5,1,1", "", '"1",1,1,1'])
def test_faults_in_large_bodies(model: Path, fault: str) -> None:
    """The same status and heading as in small ones."""
    body = "\n".join(["0.25,1,-1,2.5"] * 800 + [fault, "1,2,3,4"]).encode()
    answer = serving(save(fit("binary:logistic"), model)).invoke(body, CSV, None)
    assert answer.status == 415
    assert answer.body.startswith(b"Loading csv data failed with Exception, please ensure data is in csv format:\n ")
