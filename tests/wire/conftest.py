"""A small service of its own, so that every kind of shape is at hand in every protocol."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import ServiceModel

SHAPES: dict[str, Any] = {
    "EchoRequest": {"type": "structure", "members": {"Everything": {"shape": "Everything"}}},
    "EchoResponse": {"type": "structure", "members": {"Everything": {"shape": "Everything"}}},
    "Everything": {
        "type": "structure",
        "members": {
            "Text": {"shape": "Text"},
            "Whole": {"shape": "Whole"},
            "Long": {"shape": "Long"},
            "Real": {"shape": "Real"},
            "Flag": {"shape": "Flag"},
            "Moment": {"shape": "Moment"},
            "Bytes": {"shape": "Bytes"},
            "List": {"shape": "TextList"},
            "Items": {"shape": "ItemList"},
            "Map": {"shape": "TextMap"},
            "Flat": {"shape": "FlatList"},
            "FlatNamed": {"shape": "FlatNamedList"},
            "FlatMap": {"shape": "FlatMap"},
            "Renamed": {"shape": "Text", "locationName": "renamed"},
        },
    },
    "Text": {"type": "string"},
    "Whole": {"type": "integer"},
    "Long": {"type": "long"},
    "Real": {"type": "double"},
    "Flag": {"type": "boolean"},
    "Moment": {"type": "timestamp"},
    "Bytes": {"type": "blob"},
    "TextList": {"type": "list", "member": {"shape": "Text"}},
    "Item": {"type": "structure", "members": {"Name": {"shape": "Text"}, "Parts": {"shape": "TextList"}}},
    "ItemList": {"type": "list", "member": {"shape": "Item"}},
    "TextMap": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Item"}},
    "FlatList": {"type": "list", "member": {"shape": "Text"}, "flattened": True},
    "FlatNamedList": {"type": "list", "member": {"shape": "Text", "locationName": "FlatItem"}, "flattened": True},
    "FlatMap": {
        "type": "map",
        "key": {"shape": "Text", "locationName": "Name"},
        "value": {"shape": "Text", "locationName": "Value"},
        "flattened": True,
    },
    "BadThingException": {
        "type": "structure",
        "members": {"message": {"shape": "Text"}},
        "exception": True,
        "error": {"code": "BadThing", "httpStatusCode": 400, "senderFault": True},
    },
}


@pytest.fixture(scope="session")
def echo_model() -> ServiceModel:
    """A query-compatible service with `Echo`, and `Quiet` which has neither input nor output."""
    return ServiceModel(
        {
            "metadata": {
                "apiVersion": "2020-01-01",
                "awsQueryCompatible": {},
                "endpointPrefix": "echo",
                "jsonVersion": "1.0",
                "protocol": "query",
                "serviceId": "Echo",
                "signatureVersion": "v4",
                "targetPrefix": "EchoService",
                "xmlNamespace": "http://echo.example/doc/",
            },
            "operations": {
                "Echo": {
                    "name": "Echo",
                    "http": {"method": "POST", "requestUri": "/"},
                    "input": {"shape": "EchoRequest"},
                    "output": {"shape": "EchoResponse", "resultWrapper": "EchoResult"},
                    "errors": [{"shape": "BadThingException"}],
                },
                "Quiet": {"name": "Quiet", "http": {"method": "POST", "requestUri": "/"}},
            },
            "shapes": SHAPES,
        },
        "echo",
    )
