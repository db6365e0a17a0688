"""DataProcessing: the paths, the filters, the joins."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagemaker.jobs.transform.json_path import JsonPath, JsonPathError, NoMatchError
from stagemaker.jobs.transform.processing import DataProcessing, Format, ProcessingError
from stagemaker.jobs.transform.spec import Processing

DOCUMENT = {"id": 7, "features": [1, 2, 3, 4], "deep": {"a b": {"c": [{"x": 1}, {"x": 2, "y": 3}]}}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", DOCUMENT),
        ("$.id", 7),
        ("$['id']", 7),
        ('$["id"]', 7),
        ("$.features[0]", 1),
        ("$.features[-1]", 4),
        ("$.features[1:3]", [2, 3]),
        ("$.features[2:]", [3, 4]),
        ("$.features[:-1]", [1, 2, 3]),
        ("$.features[:]", [1, 2, 3, 4]),
        ("$.features[0,2]", [1, 3]),
        ("$.features[ 0 , -1 ]", [1, 4]),
        ("$.features[0,2:]", [1, 3, 4]),
        ("$.features[-1,:2]", [4, 1, 2]),
        ("$.features[9:]", []),
        ("$.features[*]", [1, 2, 3, 4]),
        ("$['id','features']", {"id": 7, "features": [1, 2, 3, 4]}),
        ("$.deep['a b'].c[1].y", 3),
        ("$.deep.['a b']", {"c": [{"x": 1}, {"x": 2, "y": 3}]}),
        ("$.deep['a b'].c[*].x", [1, 2]),
        ("$.deep['a b'].c[*]['x','y']", [{"x": 1}, {"x": 2, "y": 3}]),
        ("$.deep.*", [{"c": [{"x": 1}, {"x": 2, "y": 3}]}]),
        ("$.id[*]", []),
    ],
)
def test_path_selects(path: str, found: Any) -> None:
    """Names, indices, lists of both, slices, wildcards. Where several may match, a list is what is found."""
    assert JsonPath.parse(path).select(DOCUMENT) == found


@pytest.mark.parametrize(
    "path", ["$.nothing", "$.features[9]", "$.features[0,9]", "$.id.more", "$.id[0]", "$.features.name"]
)
def test_path_to_one_value_that_is_not_there(path: str) -> None:
    """And an index beyond the list: AWS says that it is an error."""
    with pytest.raises(NoMatchError):
        JsonPath.parse(path).select(DOCUMENT)


@pytest.mark.parametrize(
    "path",
    ["", "id", "$..id", "$.", "$[", "$[]", "$['id'", "$[?(@.id)]", "$.length()", "$[0:4:2]", "$ .id", "$[1,'a']", "$x"],
)
def test_what_is_no_path_here(path: str) -> None:
    """Recursive descent, filters, functions, steps; and mistakes."""
    with pytest.raises(JsonPathError):
        JsonPath.parse(path)


@given(st.lists(st.integers(), max_size=6), st.integers(-8, 8), st.integers(-8, 8))
def test_slices_and_indices_are_pythons(values: list[int], start: int, end: int) -> None:
    """As AWS's guide has them: the end is not part of it, and negative numbers count from behind."""
    assert JsonPath.parse(f"$[{start}:{end}]").select(values) == values[start:end]
    if all(-len(values) <= index < len(values) for index in (start, end)):
        assert JsonPath.parse(f"$[{start},{end}]").select(values) == [values[start], values[end]]
    else:
        with pytest.raises(NoMatchError):
            JsonPath.parse(f"$[{start},{end}]").select(values)


def csv(input_filter: str = "$", output_filter: str = "$", *, join: bool = False) -> DataProcessing:
    """For CSV lines."""
    return DataProcessing(Processing(input_filter, output_filter, join), Format.CSV, Format.CSV, by_line=True)


def jsons(
    input_filter: str = "$", output_filter: str = "$", *, join: bool = False, by_line: bool = True
) -> DataProcessing:
    """For JSON, a record a line or one in all."""
    processing = Processing(input_filter, output_filter, join)
    return DataProcessing(processing, Format.JSON, Format.JSON, by_line=by_line)


def test_csv_input_filter_drops_the_identifier() -> None:
    """The model never sees it; cells stay as they are written."""
    assert csv("$[1:]").request(b'a1,1.50,"x,""y"\nb2,2,\n') == b'1.50,"x,""y"\n2,\n'
    assert csv("$[0,-1]").request(b"a,b,c") == b"a,c"
    assert csv("$[0]").request(b"a,b\n\n") == b"a\n\n"
    assert csv("$[1:]").request(b"a,b\r\nc,d\r\n") == b"b\nd\n"


def test_csv_join_puts_the_answer_behind_the_record() -> None:
    """The record as it came, whatever the model was shown of it."""
    joined = csv("$[1:]", join=True)
    assert joined.result(b"a,1\nb,2\n", b"0.1\n0.2\n", "text/csv") == b"a,1,0.1\nb,2,0.2\n"
    picked = csv("$[1:]", "$[0,-1]", join=True)
    assert picked.result(b'"a,x",1\nb,2\n', b"0.1,9\n0.2,8\n", "text/csv") == b'"a,x",9\nb,8\n'


def test_output_filter_without_a_join_sees_the_answer_alone() -> None:
    """In its own format."""
    assert csv(output_filter="$[0]").result(b"", b"1,2\n3,4\n", "text/csv") == b"1\n3\n"
    assert csv(output_filter="$[0]").result(b"", b"1,2\n3,4", "text/csv") == b"1\n3"
    predictions = b'{"predictions": [{"score": 0.5}, {"score": 1e-7}]}'
    whole = jsons(output_filter="$.predictions[*].score", by_line=False)
    assert whole.result(b"", predictions, "application/json") == b"[0.5,1e-07]"


def test_json_join_adds_a_member() -> None:
    """To an object; anything else becomes one."""
    joined = jsons(join=True)
    assert joined.result(b'{"id": 1}\n[1, 2]\n', b'{"s": 0.5}\n7\n', "") == (
        b'{"id":1,"SageMakerOutput":{"s":0.5}}\n{"SageMakerInput":[1,2],"SageMakerOutput":7}\n'
    )
    picked = jsons("$.f", "$['id','SageMakerOutput']", join=True)
    assert picked.request('{"id": 1, "f": ["ä"]}\n'.encode()) == '["ä"]\n'.encode()
    assert picked.result(b'{"id": 1, "f": [2]}\n', b"0.5\n", "") == b'{"id":1,"SageMakerOutput":0.5}\n'
    assert jsons("$", "$.SageMakerOutput", join=True).result(b"[1]", b'{\n "s": 1\n}\n', "") == b'{"s":1}\n'


def test_json_document_of_many_lines_is_one_record() -> None:
    """Where the object is not split."""
    whole = jsons("$.f", "$", join=True, by_line=False)
    document = json.dumps({"f": [1, 2], "id": "x"}, indent=2).encode()
    assert whole.request(document) == b"[1,2]"
    assert json.loads(whole.result(document, b"[\n0.1\n]\n", "")) == {"f": [1, 2], "id": "x", "SageMakerOutput": [0.1]}


def test_answers_that_do_not_match_the_records() -> None:
    """A join of the wrong rows would be worse than none."""
    with pytest.raises(ProcessingError, match="2 input records, and 3"):
        csv(join=True).result(b"a\nb\n", b"1\n2\n3\n", "text/csv")
    with pytest.raises(ProcessingError, match="nothing at the InputFilter"):
        jsons("$.missing").request(b'{"id": 1}\n')
    with pytest.raises(ProcessingError, match="not JSON"):
        jsons("$.id").request(b"{id}\n")
    with pytest.raises(ProcessingError, match="not UTF-8"):
        csv("$[0]").request(b"\xff\n")


@given(st.lists(st.lists(st.text("ab\", '", max_size=5), min_size=1, max_size=4), min_size=1, max_size=4))
def test_cells_are_those_of_the_csv_module(rows: list[list[str]]) -> None:
    """Whatever quotes and commas a cell holds, the filter keeps whole cells."""
    import csv as library
    import io

    text = io.StringIO()
    writer = library.writer(text, quoting=library.QUOTE_ALL, lineterminator="\n")
    writer.writerows(rows)
    kept = csv("$[1:]").request(text.getvalue().encode()).decode()
    expected = [row[1:] for row in rows]
    assert list(library.reader(kept.split("\n")[:-1])) == expected
