from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.model import ServiceModel

from stagemaker.wire.errors import AwsError, ValidationError
from stagemaker.wire.shapes import epoch_seconds, read_value, to_datetime, write_value


def read(model: ServiceModel, **everything: Any) -> Any:
    """The members of `Everything` as a handler gets them."""
    return read_value(model.shape_for("Everything"), everything)


def test_types_are_those_of_python(echo_model: ServiceModel) -> None:
    """Timestamps become aware datetimes in UTC, blobs bytes, numbers of a real type floats."""
    values = read(echo_model, Moment=1.5, Bytes="aGk=", Real=3, Whole=4.0, Flag=True)
    assert values == {
        "Moment": datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC),
        "Bytes": b"hi",
        "Real": 3.0,
        "Whole": 4,
        "Flag": True,
    }
    assert isinstance(values["Real"], float)
    assert isinstance(values["Whole"], int)


def test_null_is_absent(echo_model: ServiceModel) -> None:
    """A null member or map entry is as if it had not been sent."""
    assert read(echo_model, Text=None, Map={"a": None, "b": {"Name": None}}) == {"Map": {"b": {}}}


@pytest.mark.parametrize(
    ("everything", "message"),
    [
        ({"Text": 1}, "NUMBER_VALUE can not be converted to string at 'Text'"),
        ({"Text": True}, "BOOLEAN can not be converted to string at 'Text'"),
        ({"Whole": "1"}, "STRING_VALUE can not be converted to integer at 'Whole'"),
        ({"Whole": 1.5}, "DECIMAL_VALUE can not be converted to integer at 'Whole'"),
        ({"Whole": True}, "BOOLEAN can not be converted to integer at 'Whole'"),
        ({"Whole": 2**31}, "2147483648 is out of the range of integer at 'Whole'"),
        ({"Long": 2**63}, "9223372036854775808 is out of the range of long at 'Long'"),
        ({"Long": 1e300}, f"{int(1e300)} is out of the range of long at 'Long'"),
        ({"Real": "1"}, "STRING_VALUE can not be converted to double at 'Real'"),
        ({"Real": True}, "BOOLEAN can not be converted to double at 'Real'"),
        ({"Real": 10**400}, "The number at 'Real' is out of the range of double"),
        ({"Flag": "true"}, "STRING_VALUE can not be converted to boolean at 'Flag'"),
        ({"List": {"0": "a"}}, "object can not be converted to list at 'List'"),
        ({"List": ["a", 1]}, "NUMBER_VALUE can not be converted to string at 'List[1]'"),
        ({"Map": []}, "array can not be converted to map at 'Map'"),
        ({"Map": {"a": {"Name": 1}}}, "NUMBER_VALUE can not be converted to string at 'Map.a.Name'"),
        ({"Map": {1: {}}}, "NUMBER_VALUE can not be converted to string at 'Map'"),
        ({"Items": [[]]}, "array can not be converted to structure at 'Items[0]'"),
        ({"Bytes": "not base64!"}, "'Bytes' is not base64: Only base64 data is allowed"),
        ({"Moment": "soon"}, "'Moment' is not a timestamp: 'soon'"),
        ({"Moment": 1e30}, "'Moment' is not a timestamp: 1e+30"),
        ({"Moment": True}, "'Moment' is not a timestamp: True"),
        ({"Text": "half a pair: \ud800"}, "'Text' is not Unicode text: surrogates not allowed"),
    ],
)
def test_a_value_of_the_wrong_type(everything: dict[str, Any], message: str, echo_model: ServiceModel) -> None:
    """Each is a SerializationException that names the member; none is stored or crashes later."""
    with pytest.raises(AwsError) as caught:
        read(echo_model, **everything)
    assert (caught.value.code, caught.value.message) == ("SerializationException", message)


def test_an_unknown_member_is_refused(echo_model: ServiceModel) -> None:
    """A member that the model lacks would have no effect, so it is refused by its path."""
    with pytest.raises(ValidationError, match=r"Items\[0\]\.Color is not a member of Item in the API model"):
        read(echo_model, Items=[{"Color": "red"}])


def test_only_what_is_modelled_is_written(echo_model: ServiceModel) -> None:
    """Unknown and None members are left out, so a service's own keys never reach a client."""
    written = write_value(
        echo_model.shape_for("Everything"),
        {"Text": "a", "Whole": None, "Secret": 1, "Items": [{"Name": "b", "Secret": 2}], "Real": 2},
        timestamp=epoch_seconds,
        blob=bytes,
    )
    assert written == {"Text": "a", "Items": [{"Name": "b"}], "Real": 2.0}


def test_timestamps_in_any_form() -> None:
    """Epoch seconds, ISO 8601 with Z or an offset, and naive datetimes (taken as UTC) mean one moment."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for form in (
        1767323045,
        "2026-01-02T03:04:05Z",
        "2026-01-02T05:04:05+02:00",
        "2026-01-02T03:04:05",
        moment.replace(tzinfo=None),
        moment.astimezone(timezone(timedelta(hours=-7))),
    ):
        assert to_datetime(form) == moment
    assert epoch_seconds(moment + timedelta(microseconds=123_456)) == 1767323045.123
    assert epoch_seconds(1767323045) == 1767323045.0
