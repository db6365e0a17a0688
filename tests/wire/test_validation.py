from __future__ import annotations

import pytest
from botocore.model import ServiceModel

from stagemaker.wire.errors import ValidationError
from stagemaker.wire.model import load_service_model
from stagemaker.wire.validation import _compiled, validate

MODEL = ServiceModel(
    {
        "metadata": {"protocol": "json", "apiVersion": "1", "endpointPrefix": "x", "signatureVersion": "v4"},
        "operations": {"Try": {"name": "Try", "http": {}, "input": {"shape": "TryRequest"}}},
        "shapes": {
            "TryRequest": {
                "type": "structure",
                "required": ["JobName"],
                "members": {
                    "JobName": {"shape": "Name"},
                    "Count": {"shape": "Count"},
                    "Color": {"shape": "Color"},
                    "Names": {"shape": "Names"},
                    "Settings": {"shape": "Settings"},
                    "Parts": {"shape": "Parts"},
                    "PartsByName": {"shape": "PartsByName"},
                    "Grid": {"shape": "Grid"},
                    "Blob": {"shape": "Blob"},
                },
            },
            "Name": {"type": "string", "min": 2, "max": 5, "pattern": "[a-z]+"},
            "Count": {"type": "integer", "min": 1, "max": 9},
            "Color": {"type": "string", "enum": ["RED", "BLUE"]},
            "Names": {"type": "list", "member": {"shape": "Name"}, "max": 2},
            "Settings": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Value"}, "max": 3},
            "Value": {"type": "string", "max": 4},
            "Part": {"type": "structure", "required": ["Name"], "members": {"Name": {"shape": "Name"}}},
            "Parts": {"type": "list", "member": {"shape": "Part"}},
            "PartsByName": {"type": "map", "key": {"shape": "Name"}, "value": {"shape": "Part"}},
            "Grid": {"type": "list", "member": {"shape": "Names"}},
            "Blob": {"type": "blob", "max": 3},
        },
    },
    "try",
)
NAME_RULES = (
    "[Member must have length less than or equal to 5, Member must have length greater than or equal to 2, "
    "Member must satisfy regular expression pattern: [a-z]+]"
)


def refusal(**parameters: object) -> str:
    """What is said of a request that is wrong."""
    with pytest.raises(ValidationError) as caught:
        validate(MODEL.operation_model("Try").input_shape, {"JobName": "job", **parameters})
    assert caught.value.code == "ValidationException"
    return caught.value.message


def test_a_good_request_passes() -> None:
    """Values at the very edge of their limits are accepted, and so is an operation without input."""
    validate(
        MODEL.operation_model("Try").input_shape,
        {"JobName": "ab", "Count": 9, "Color": "RED", "Names": ["abcde", "ab"], "Settings": {"ab": ""}, "Blob": b"abc"},
    )
    validate(None, {})


def test_a_missing_member() -> None:
    """A required member that is absent is null in AWS's words, at a path in lower camel case."""
    with pytest.raises(ValidationError) as caught:
        validate(MODEL.operation_model("Try").input_shape, {})
    assert caught.value.message == (
        "1 validation error detected: Value null at 'jobName' failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize(
    ("parameters", "value", "path", "rule"),
    [
        ({"JobName": "a"}, "'a'", "jobName", "have length greater than or equal to 2"),
        ({"JobName": "abcdef"}, "'abcdef'", "jobName", "have length less than or equal to 5"),
        ({"JobName": "a1"}, "'a1'", "jobName", "satisfy regular expression pattern: [a-z]+"),
        ({"JobName": "ab\n"}, "'ab\n'", "jobName", "satisfy regular expression pattern: [a-z]+"),
        ({"Count": 0}, "'0'", "count", "have value greater than or equal to 1"),
        ({"Count": 10}, "'10'", "count", "have value less than or equal to 9"),
        ({"Color": "red"}, "'red'", "color", "satisfy enum value set: [RED, BLUE]"),
        ({"Names": ["ab", "ab", "ab"]}, "'[ab, ab, ab]'", "names", "have length less than or equal to 2"),
        (
            {"Blob": b"abcd"},
            "'java.nio.HeapByteBuffer[pos=0 lim=4 cap=4]'",
            "blob",
            "have length less than or equal to 3",
        ),
        ({"Parts": [{"Name": "ab"}, {}]}, "null", "parts.2.member.name", "not be null"),
        (
            {"PartsByName": {"ab": {"Name": "a"}}},
            "'a'",
            "partsByName.ab.member.name",
            "have length greater than or equal to 2",
        ),
    ],
)
def test_one_broken_rule(parameters: dict[str, object], value: str, path: str, rule: str) -> None:
    """Each kind of rule has AWS's sentence, with the value and its path."""
    assert refusal(**parameters) == (
        f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: Member must {rule}"
    )


def test_a_broken_item_is_said_of_its_list() -> None:
    """An item that breaks a rule is reported once, on the list, with every rule of the items."""
    assert refusal(Names=["a", "1"]) == (
        "1 validation error detected: Value '[a, 1]' at 'names' failed to satisfy constraint: "
        f"Member must satisfy constraint: {NAME_RULES}"
    )


def test_a_broken_key_or_value_is_said_of_its_map() -> None:
    """The map of hyperparameters is the known case: Java's form of the map, all rules of its values."""
    assert refusal(Settings={"ab": "12345", "cd": "x"}) == (
        "1 validation error detected: Value '{ab=12345, cd=x}' at 'settings' failed to satisfy constraint: "
        "Map value must satisfy constraint: [Member must have length less than or equal to 4]"
    )
    assert refusal(Settings={"A": "x"}) == (
        "1 validation error detected: Value '{A=x}' at 'settings' failed to satisfy constraint: "
        f"Map keys must satisfy constraint: {NAME_RULES}"
    )


def test_lists_in_lists() -> None:
    """The size of an inner list is a rule of the outer list's items; its own items have a path of their own."""
    assert refusal(Grid=[["ab", "ab", "ab"]]) == (
        "1 validation error detected: Value '[[ab, ab, ab]]' at 'grid' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must have length less than or equal to 2]"
    )
    assert "at 'grid.1.member' failed to satisfy constraint: Member must satisfy" in refusal(Grid=[["1"]])


def test_several_errors_are_counted_and_listed() -> None:
    """Everything that is wrong is said at once, up to ten problems."""
    message = refusal(JobName="A", Color="x")
    assert message.startswith("3 validation errors detected: Value 'A' at 'jobName'")
    assert message.count("; Value ") == 2
    assert refusal(Parts=[{}] * 50).startswith("10 validation errors detected: ")


def test_a_hostile_value_cannot_hold_the_server() -> None:
    """A pattern that backtracks for ever is given up after a second, and the value refused."""
    from stagemaker.wire.validation import _matches

    assert not _matches("(a+)+b", "a" * 5000)


@pytest.mark.parametrize("service", ["sagemaker", "logs", "cloudwatch"])
def test_every_pattern_of_our_services_is_understood(service: str) -> None:
    """No pattern in the models fails to compile: it would turn a good request into a server error."""
    model = load_service_model(service)
    patterns = {
        str(pattern)
        for name in model.shape_names
        if (pattern := model.shape_for(name).metadata.get("pattern")) is not None
    }
    assert patterns
    for pattern in patterns:
        _compiled(pattern)
