"""Checks of a lab whose account is a folder."""

import json
import os
from pathlib import Path

import pytest

from stagemaker_labs.checking import after, wrong


@pytest.fixture(scope="module")
def numbers(account):
    """What stands in numbers.json."""
    file = Path(os.environ["AWS_TOY_ACCOUNT"]) / "numbers.json"
    if not file.is_file():
        wrong(looked_at="the account", found="no numbers.json", expected="a list of numbers")
    return json.loads(file.read_text())


def test_there(numbers):
    """the account holds numbers.json."""


def test_numbers(numbers):
    """every entry of the list is a number"""
    texts = [number for number in numbers if isinstance(number, str)]
    if texts:
        wrong(
            looked_at="numbers.json, all entries",
            found=f"{len(texts)} of {len(numbers)} are text, the first is {texts[0]!r}",
            expected="numbers only",
            likely="they were read from a file and not converted: write them without quotes",
            next="int(row), then: pytest labs/01",
        )


@after(test_numbers)
def test_sum(numbers, account):
    """the numbers add up to the sum of the rows that were held back, which nobody has seen but this check"""
    expected = int(account.held_back("rest").read_text())
    assert sum(numbers) == expected, f"they add up to {sum(numbers)}"


@after(test_sum)
def test_order():
    """they are in order"""
