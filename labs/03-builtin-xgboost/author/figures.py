"""Measure what honest and wrong works reach, for the guide's table and for the threshold in `checks.py`.

`python labs/03-builtin-xgboost/author/figures.py` trains with the xgboost library directly, on the same files as a job
would read, five splits each, and prints the lowest and highest AUC on validation and on the held-back customers. Where
a held-back customer cannot have a column, because it was made from the answer, the cell is missing.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost

DATA = Path(__file__).resolve().parents[3] / "datasets" / "churn"
REFERENCE = {"max_depth": 5, "eta": 0.2, "subsample": 0.8}
Change = Callable[[pd.DataFrame], pd.DataFrame]


def encoded(name: str) -> pd.DataFrame:
    """One file of the data set, encoded as the reference does, the label first."""
    table = pd.read_csv(DATA / name)
    label = (table.pop("churn") == "yes").astype(int)
    for flag in ("international_plan", "voice_mail_plan"):
        table[flag] = (table[flag] == "yes").astype(int)
    table = pd.get_dummies(table, columns=["state", "area_code"], dtype=int)
    table.insert(0, "churn", label)
    return table


CUSTOMERS, HELD_BACK = encoded("customers.csv"), encoded("heldback.csv")


def label_last(table: pd.DataFrame) -> pd.DataFrame:
    """An honest 0/1 column first, the label last."""
    return table[
        ["international_plan", *[name for name in table if name not in {"international_plan", "churn"}], "churn"]
    ]


def leak(table: pd.DataFrame) -> pd.DataFrame:
    """A bill that only those get who leave."""
    bill = (table["total_day_charge"] + table["total_eve_charge"]) * table["churn"]
    return table.assign(final_bill=bill)


def auc(model: xgboost.Booster, rows: xgboost.DMatrix) -> float:
    """What the model reaches on `rows`, by the library's own metric."""
    return float(str(model.eval(rows)).rpartition(":")[2])


def measure(
    name: str,
    change: Change = lambda table: table,
    *,
    unknown: str = "",
    header: bool = False,
    **parameters: float | str,
) -> None:
    """Train on five splits and print one line. `unknown` is a column that held-back customers cannot have."""
    rounds = int(parameters.pop("num_round", 100))
    found: dict[str, list[float]] = {"validation": [], "held back": []}
    for seed in range(5):
        validation = CUSTOMERS.groupby("churn").sample(frac=0.2, random_state=seed)
        parts = {"train": change(CUSTOMERS.drop(validation.index)), "validation": change(validation)}
        with tempfile.TemporaryDirectory() as folder:
            read = {}
            for part, table in parts.items():
                table.to_csv(f"{folder}/{part}.csv", header=header, index=False)
                read[part] = xgboost.DMatrix(f"{folder}/{part}.csv?format=csv&label_column=0&delimiter=,")
            settings = {"objective": "binary:logistic", "eval_metric": "auc", "nthread": 1, **REFERENCE, **parameters}
            model = xgboost.train(settings, read["train"], rounds)
            found["validation"].append(auc(model, read["validation"]))
        held_back = change(HELD_BACK).astype(float)
        if unknown:
            held_back[unknown] = np.nan
        found["held back"].append(auc(model, xgboost.DMatrix(held_back.iloc[:, 1:].to_numpy(), HELD_BACK["churn"])))
    ranges = "   ".join(f"{part} {min(values):.2f} to {max(values):.2f}" for part, values in found.items())
    print(f"{name:34}{ranges}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # xgboost announces the end of its CSV parser, which the algorithm still uses
    xgboost.set_config(verbosity=0)
    measure("the reference")
    measure("library defaults", max_depth=6, eta=0.3, subsample=1)
    measure("states dropped", lambda table: table[[name for name in table if not str(name).startswith("state")]])
    measure("20 rounds", num_round=20)
    measure("header row left in", header=True)
    measure("label last", label_last, unknown="churn")
    measure("leak: a bill for those who left", leak, unknown="final_bill")
    measure("one tree of depth 2", num_round=1, max_depth=2)
    measure("one tree of depth 3", num_round=1, max_depth=3)
    measure("linear (booster gblinear)", booster="gblinear", eta=0.5)
