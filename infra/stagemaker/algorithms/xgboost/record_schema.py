"""The message `aialgs.data.Record` of SageMaker's RecordIO-protobuf.

The schema is public (package aialgs.data, proto2). Its descriptors are built at run time, so that no
generated module ties us to one release of protobuf, which may be missing altogether.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from stagemaker.algorithms.xgboost.errors import UserError


@cache
def record_class() -> Any:
    """The message class `aialgs.data.Record`. Raises UserError when protobuf is not installed."""
    try:
        descriptor_pb2 = importlib.import_module("google.protobuf.descriptor_pb2")
        descriptor_pool = importlib.import_module("google.protobuf.descriptor_pool")
        message_factory = importlib.import_module("google.protobuf.message_factory")
    except ImportError:
        raise UserError(
            "RecordIO-protobuf cannot be read: the Python package 'protobuf' is not installed. "
            "Install it or use text/csv."
        ) from None
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="aialgs/data/record.proto", package="aialgs.data", syntax="proto2")
    for name, value_type in (
        ("Float32Tensor", field.TYPE_FLOAT),
        ("Float64Tensor", field.TYPE_DOUBLE),
        ("Int32Tensor", field.TYPE_INT32),
    ):
        tensor = file.message_type.add(name=name)
        for number, (part, part_type) in enumerate(
            (("values", value_type), ("keys", field.TYPE_UINT64), ("shape", field.TYPE_UINT64)), start=1
        ):
            tensor.field.add(name=part, number=number, label=field.LABEL_REPEATED, type=part_type).options.packed = True
    content = file.message_type.add(name="Bytes")
    content.field.add(name="value", number=1, label=field.LABEL_REPEATED, type=field.TYPE_BYTES)
    content.field.add(name="content_type", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="value")
    for part, number, type_name in (
        ("float32_tensor", 2, "Float32Tensor"),
        ("float64_tensor", 3, "Float64Tensor"),
        ("int32_tensor", 7, "Int32Tensor"),
        ("bytes", 9, "Bytes"),
    ):
        value.field.add(
            name=part,
            number=number,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=f".aialgs.data.{type_name}",
            oneof_index=0,
        )
    record = file.message_type.add(name="Record")
    for part, number in (("features", 1), ("label", 2)):
        entry = record.nested_type.add(name=f"{part.capitalize()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
        entry.field.add(
            name="value",
            number=2,
            label=field.LABEL_OPTIONAL,
            type=field.TYPE_MESSAGE,
            type_name=".aialgs.data.Value",
        )
        record.field.add(
            name=part,
            number=number,
            label=field.LABEL_REPEATED,
            type=field.TYPE_MESSAGE,
            type_name=f".aialgs.data.Record.{part.capitalize()}Entry",
        )
    for part, number in (("uid", 3), ("metadata", 4), ("configuration", 5)):
        record.field.add(name=part, number=number, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))
