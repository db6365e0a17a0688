"""The tables of the contracts are true as far as a table can be."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@cache
def generate() -> ModuleType:
    """The script that makes the pages."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = tuple(generate().CONTRACTS)
ITEMS = [item for page in PAGES for item in generate().contract_items(page)]


@cache
def functions_of(file: str) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_is_up_to_date(page: Path) -> None:
    """The page is what `python docs/generate.py` writes."""
    assert page.read_text() == generate().contract(page)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["name"])
def test_item_names_a_test_that_exists(item: dict[str, str]) -> None:
    """An item that is kept, wholly or in part, is shown by a test; one that is not may be."""
    assert item["kept"] in {"yes", "in part", "no"}
    assert item["how"]
    if "test" in item:
        file, _, test = item["test"].partition("::")
        assert test in functions_of(file)
    else:
        assert item["kept"] == "no"
