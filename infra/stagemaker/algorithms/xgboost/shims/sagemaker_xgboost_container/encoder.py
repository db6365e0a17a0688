"""`from sagemaker_xgboost_container import encoder`, as AWS's examples of `inference.py` have it."""

from stagemaker.algorithms.xgboost.encoder import (
    csv_to_dmatrix,
    decode,
    json_to_jsonlines,
    libsvm_to_dmatrix,
    recordio_protobuf_to_dmatrix,
)

__all__ = ["csv_to_dmatrix", "decode", "json_to_jsonlines", "libsvm_to_dmatrix", "recordio_protobuf_to_dmatrix"]
