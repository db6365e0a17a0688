"""Lab 03's judges of files and models (`tables`, `tracing`, `findings`, `score`), without an account."""

from __future__ import annotations

import functools
import importlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost

ROOT = Path(__file__).parents[2]
LAB = ROOT / "labs" / "03-builtin-xgboost"
DATA = ROOT / "datasets" / "churn"
FLAGS = ["international_plan", "voice_mail_plan"]
CATEGORIES = ["state", "area_code"]


@pytest.fixture(scope="module")
def findings() -> Iterator[ModuleType]:
    """The lab's `findings.py`, its sibling modules importable as they are beside it."""
    sys.path.insert(0, str(LAB))
    yield importlib.import_module("findings")
    sys.path.remove(str(LAB))


@functools.cache
def as_given(name: str) -> pd.DataFrame:
    """One file of the data set as it is."""
    return pd.read_csv(DATA / name)


def customers(name: str = "customers.csv") -> pd.DataFrame:
    """One file of the data set, the label first as 1 and 0, the flags encoded, the categories not."""
    table = as_given(name).copy()
    label = (table.pop("churn") == "yes").astype(int)
    table[FLAGS] = (table[FLAGS] == "yes").astype(int)
    table.insert(0, "churn", label)
    return table


def one_hot(table: pd.DataFrame) -> pd.DataFrame:
    """The reference's encoding."""
    return pd.get_dummies(table, columns=CATEGORIES, dtype=int)


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and validation, stratified."""
    validation = table.groupby("churn").sample(frac=0.2, random_state=7)
    return table.drop(validation.index).sample(frac=1, random_state=7), validation


def payload(folder: Path, train: pd.DataFrame | str, validation: pd.DataFrame | str) -> dict[str, Any]:
    """Both written as a learner should write them (a text is written as it is), and where they are."""
    told: dict[str, Any] = {"customers": str(DATA / "customers.csv"), "heldback": str(DATA / "heldback.csv")}
    for name, part in (("train", train), ("validation", validation)):
        file = folder / f"{name}.csv"
        file.write_text(part if isinstance(part, str) else part.to_csv(header=False, index=False))
        told[name] = {f"s3://lab/{name}/{name}.csv": str(file)}
    return told


def failed(findings: ModuleType, told: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The findings that are not well, by name."""
    return {name: card for name, card in findings.findings(told).items() if card}


@pytest.fixture(scope="module")
def good() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The reference's train and validation tables."""
    return split(one_hot(customers()))


def test_the_reference_has_no_finding(findings: ModuleType, tmp_path: Path, good: Any) -> None:
    """All seven findings are made, and all is well."""
    answer = findings.findings(payload(tmp_path, *good))
    assert tuple(answer) == findings.FINDINGS
    assert not any(answer.values())


def drawn_encoding(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """An honest encoding of known and held-back customers: columns, order, codes and scales drawn by `seed`."""
    draw = np.random.default_rng(seed)
    both: Any = pd.concat([customers(), customers("heldback.csv")], ignore_index=True)
    least, *kept = draw.permutation(["day", "eve", "night"])
    dropped = {name for name in both if f"_{least}_" in str(name) and draw.random() < 0.5}
    dropped |= {name for name in ("account_length", "total_intl_calls", "voice_mail_plan") if draw.random() < 0.3}
    dropped |= {f"total_{group}_{draw.choice(['minutes', 'charge'])}" for group in kept}
    both = both.drop(columns=list(dropped))
    for name in CATEGORIES:
        way = draw.choice(["one-hot", "codes", "counts", "dropped"])
        if way == "one-hot":
            both = pd.get_dummies(both, columns=[name], dtype=int)
        elif way == "codes":
            codes = both[name].unique()
            both[name] = both[name].map(dict(zip(codes, draw.permutation(len(codes)), strict=True)))
        elif way == "counts":
            both[name] = both[name].map(both[name][:4000].value_counts())
        else:
            both = both.drop(columns=name)
    known = both[:4000]
    shift, scale = {
        "as they are": (known.min() * 0, known.max() * 0 + 1),
        "standard": (known.mean(), known.std()),
        "range": (known.min(), known.max() - known.min()),
    }[str(draw.choice(["as they are", "standard", "range"]))]
    totals = [name for name in both if str(name).startswith("total_")]
    both[totals] = (both[totals] - shift[totals]) / scale[totals]
    both["calls"] = both["number_customer_service_calls"].clip(upper=4)
    features = draw.permutation([name for name in both if name != "churn"]).tolist()
    both = both[["churn", *features]]
    return both[:4000], both[4000:]


@pytest.mark.parametrize("seed", range(8))
def test_any_honest_encoding_passes_and_is_carried_over(findings: ModuleType, tmp_path: Path, seed: int) -> None:
    """Whatever columns, order, codes and scales: nothing is found, and held-back customers are encoded the same way."""
    known, held_back = drawn_encoding(seed)
    told = payload(tmp_path, *split(known))
    assert not failed(findings, told)
    traced = findings.trace(told, findings.read(told))
    assert len(set(traced.rows.tolist())) == 4000
    encoded = np.column_stack([column.encoded[4000:] for column in traced.columns[1:]])
    np.testing.assert_allclose(encoded, held_back.drop(columns="churn").to_numpy(float), rtol=1e-6, atol=1e-6)


def test_sums_ratios_products_and_curves_are_carried_over(findings: ModuleType, tmp_path: Path) -> None:
    """Features built from several columns, and a logarithm, reach the held-back customers too.

    Where a ratio divides by 0 the learner's own filling is not known: the held-back cell is missing.
    """

    def built(table: pd.DataFrame, filling: float) -> pd.DataFrame:
        return one_hot(table).assign(
            minutes=table["total_day_minutes"] + table["total_eve_minutes"] + table["total_night_minutes"],
            per_call=(table["total_day_minutes"] / table["total_day_calls"].replace(0, np.nan)).fillna(filling),
            both=table["international_plan"] * table["total_intl_minutes"],
            log=np.log1p(table["total_day_minutes"]),
        )

    told = payload(tmp_path, *split(built(customers(), 0)))
    assert not failed(findings, told)
    columns = findings.trace(told, findings.read(told)).columns
    assert [column.kind for column in columns[-4:]] == ["linear", "pair", "pair", "function"]
    expected = built(customers("heldback.csv"), np.nan).iloc[:, -4:].to_numpy(float)
    for column, values in zip(columns[-4:], expected.T, strict=True):
        # A logarithm is known at the known customers' minutes, and a straight line in between.
        np.testing.assert_allclose(column.encoded[4000:], values, atol=0.05, rtol=1e-4)


def test_rows_that_two_customers_share_are_settled(findings: ModuleType, tmp_path: Path) -> None:
    """With only two times of day a dozen customers look alike at first; the other columns tell them apart."""
    table = one_hot(customers().drop(columns=["total_night_minutes", "total_night_charge"]))
    told = payload(tmp_path, *split(table))
    traced = findings.trace(told, findings.read(told))
    assert 0.99 < traced.sure < 1
    assert len(set(traced.rows.tolist())) == 4000


def lines(table: pd.DataFrame, **options: Any) -> str:
    """The table as a learner writes it; without header and index unless `options` say otherwise."""
    return str(table.to_csv(**{"header": False, "index": False, **options}))


def spoilt(kind: str, good: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[pd.DataFrame | str, pd.DataFrame | str]:
    """Train and validation with one thing wrong."""
    train, validation = good
    whole = pd.concat([train, validation])
    known = customers()
    text = lines(train)
    match kind:
        case "header":
            return lines(train, header=True), validation
        case "numbered header":
            return ",".join(str(place) for place in range(train.shape[1])) + "\n" + text, validation
        case "text":
            return split(pd.get_dummies(known, columns=["area_code"], dtype=int))
        case "true and false":
            return split(pd.get_dummies(known, columns=CATEGORIES))
        case "label as text":
            return train.assign(churn=train["churn"].map({1: "yes", 0: "no"})), validation
        case "blank":
            return train, validation.assign(voice_mail_plan=np.nan)
        case "not a number":
            return text.replace("265.1", "nan", 1), validation
        case "ragged":
            return text + lines(train.iloc[:5, :-1]), validation
        case "empty":
            return train, "\n"
        case "one column":
            return lines(train[["churn"]]), validation
        case "parquet":
            return "PAR1\x15\x04,\x15\x80", validation
        case "far too many rows":
            return text * 4, validation
        case "encoded after the split":
            return one_hot(known[known["state"] != "WY"]), one_hot(known[known["state"] == "WY"])
        case "noise":
            noise = np.random.default_rng(1).normal(0, 1, len(whole))
            columns = [name for name in whole if str(name).startswith("total_")]
            return split(whole.assign(**{str(name): whole[name] + noise for name in columns}))
        case "a made-up row":
            row = train.iloc[:1].assign(total_day_minutes=1.05, total_day_charge=0.18, total_eve_minutes=2.05)
            return pd.concat([train, row.assign(total_eve_charge=0.15)]), validation
        case "label last":
            return tuple(part[[*part.columns[1:], "churn"]] for part in good)  # type: ignore[return-value]  # two parts
        case "no label":
            return train.iloc[:, 1:], validation.iloc[:, 1:]
        case "index":
            return lines(train, index=True), lines(validation, index=True)
        case "label turned round":
            return train.assign(churn=1 - train["churn"]), validation.assign(churn=1 - validation["churn"])
        case "label as 1 and 2":
            return train.assign(churn=1 + train["churn"]), validation.assign(churn=1 + validation["churn"])
        case "some labels wrong":
            return train.assign(churn=train["churn"].where(train["account_length"] > 50, 0)), validation
        case "answer again":
            return train.assign(left=train["churn"] * 7), validation.assign(left=validation["churn"] * 7)
        case "noisy answer":
            noise = np.random.default_rng(1).normal(0, 0.3, len(whole))
            return split(whole.assign(mood=whole["churn"] + noise))
        case "mean of the answer":
            mean = known["churn"].groupby(known["state"]).transform("mean")
            return split(one_hot(known).assign(risk=mean))
        case "random numbers":
            return split(whole.assign(luck=np.random.default_rng(1).random(len(whole))))
        case "scaled apart":
            return tuple(
                part.assign(account_length=part["account_length"] / part["account_length"].std()) for part in good
            )  # type: ignore[return-value]  # two parts
        case "overlap":
            return whole, validation
        case "twice":
            return pd.concat([train, train.iloc[:100]]), validation
        case "held back":
            return split(one_hot(pd.concat([known, customers("heldback.csv").iloc[:1]], ignore_index=True)))
        case "sorted":
            ordered = whole.sort_values("number_customer_service_calls")
            return ordered.iloc[:3200], ordered.iloc[3200:]
        case "little validation":
            return pd.concat([train, validation.iloc[50:]]), validation.iloc[:50]
    raise ValueError(kind)


@pytest.mark.parametrize(
    ("kind", "finding", "words"),
    [
        ("header", "numbers", "the built-in algorithms want no header row"),
        ("numbered header", "numbers", "the built-in algorithms want no header row"),
        ("text", "numbers", "a category was not encoded"),
        ("true and false", "numbers", "pd.get_dummies made True and False"),
        ("label as text", "numbers", "the first column is still text"),
        ("blank", "numbers", "an empty cell"),
        ("not a number", "numbers", "nan"),
        ("ragged", "numbers", "71 values, 72 in the lines before"),
        ("empty", "numbers", "no row"),
        ("one column", "numbers", "this is not CSV"),
        ("parquet", "numbers", "train.csv"),
        ("far too many rows", "numbers", "more than 12,000 rows"),
        ("encoded after the split", "numbers", "the categories were encoded after the split"),
        ("noise", "customers", "only 0% of the rows can be traced back"),
        ("a made-up row", "customers", "1 rows are no customer of the table"),
        ("label last", "label", "`account_length`; the label is column 72"),
        ("no label", "label", "the label is in no column"),
        ("index", "label", "to_csv wrote the index"),
        ("label turned round", "label", "1 stands for those who stayed"),
        ("label as 1 and 2", "label", "the label as 1 and 2"),
        ("some labels wrong", "label", "the label is in no column"),
        ("answer again", "features", "leakage"),
        ("noisy answer", "features", "leakage"),
        ("mean of the answer", "features", "the share of churners for each `state`"),
        ("random numbers", "features", "cannot be traced"),
        ("scaled apart", "features", "the encoding or scaling was fitted anew on each file"),
        ("overlap", "once", "800 validation customers stand in train too"),
        ("twice", "once", "100 customers stand there more than once"),
        ("held back", "held_back", "1 rows are held-back customers"),
        ("sorted", "stratified", "the split is not stratified"),
        ("little validation", "stratified", "50 in validation"),
    ],
)
def test_what_is_wrong_is_named(
    findings: ModuleType, tmp_path: Path, good: Any, kind: str, finding: str, words: str
) -> None:
    """Each mistake in the files fails first at its own finding, with a card in words of its own."""
    found = failed(findings, payload(tmp_path, *spoilt(kind, good)))
    assert next(iter(found)) == finding
    card = found[finding]
    assert set(card) == {"looked_at", "found", "expected", "likely", "next"}
    assert all(card.values())
    assert words in " ".join(card.values())


def archive(folder: Path, members: dict[str, bytes]) -> Path:
    """A `model.tar.gz` of these members."""
    file = folder / "model.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file


def helper(script: str, told: dict[str, Any]) -> dict[str, Any]:
    """The answer of one of the lab's helper programs, run as the workbench runs it."""
    done = subprocess.run(
        [sys.executable, str(LAB / script)],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


@pytest.fixture(scope="module")
def model(good: tuple[pd.DataFrame, pd.DataFrame]) -> xgboost.Booster:
    """The reference's model, trained by the library."""
    train = good[0]
    settings = {"objective": "binary:logistic", "eval_metric": "auc", "max_depth": 5, "eta": 0.2, "nthread": 1}
    return xgboost.train(settings, xgboost.DMatrix(train.iloc[:, 1:].to_numpy(), train["churn"]), 100)


def test_the_helpers_answer_as_programs(tmp_path: Path, good: Any, model: xgboost.Booster) -> None:
    """JSON in, JSON out: no finding on the reference, an AUC above the threshold, the library's own on validation."""
    told = payload(tmp_path, *good)
    assert set(helper("findings.py", told).values()) == {None}
    told["artifact"] = str(archive(tmp_path, {"xgboost-model": bytes(model.save_raw("ubj"))}))
    answer = helper("score.py", told)
    validation = xgboost.DMatrix(good[1].iloc[:, 1:].to_numpy(), good[1]["churn"])
    told_by_library = float(str(model.eval_set([(validation, "it")])).rpartition(":")[2])
    assert answer["validation_auc"] == pytest.approx(told_by_library, abs=1e-6)
    assert 0.88 < answer["auc"] < 0.95
    assert answer["features"] == answer["width"] == 71


def test_artifacts_that_hold_no_such_model(tmp_path: Path, good: Any, model: xgboost.Booster, findings: Any) -> None:
    """No archive, no member, no model, a model of other columns: each is told apart, and a pickle is not opened."""
    score = importlib.import_module("score")
    told = payload(tmp_path, *good)
    plain = tmp_path / "plain"
    plain.write_text("not an archive")
    # Unpickling this would make a file.
    pickle = f"cos\nsystem\n(S'touch {tmp_path}/opened'\ntR.".encode()
    narrow = xgboost.train({}, xgboost.DMatrix(good[0].iloc[:, 2:].to_numpy(), good[0]["churn"]), 1)
    members: dict[str, dict[str, bytes]] = {
        "no_model": {"model/xgboost-model": b""},
        "unreadable": {"xgboost-model": pickle},
        "width": {"./xgboost-model": bytes(narrow.save_raw("ubj"))},
    }
    assert score.score({**told, "artifact": str(plain)})["problem"] == "not_tar"
    for problem, inside in members.items():
        assert score.score({**told, "artifact": str(archive(tmp_path, inside))})["problem"] == problem
    assert not (tmp_path / "opened").exists()
