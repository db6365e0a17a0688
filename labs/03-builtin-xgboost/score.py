"""Score the job's artifact. Reads JSON from standard input, writes JSON to standard output.

In: what `findings.py` takes, and `artifact`, the path of `model.tar.gz`. Out: `auc`, on the held-back customers in the
learner's own encoding, and `validation_auc`, on the learner's own validation rows, to be held against what the job
reported; `features` and `width`, of the model and of the files without the label. Or `problem` (not_tar, no_model,
unreadable or width) with `detail`.

Run as a process of its own, without credentials: the artifact is a file that somebody else wrote. It is never
unpickled; a member of the archive is read into memory, nothing is unpacked.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import findings
import numpy as np
import tables
import tracing
import xgboost

MODEL = "xgboost-model"
LARGEST_MODEL = 512 * 1024 * 1024
"""Bytes. A model of 100 rounds has about 200,000."""


def model(artifact: Path) -> xgboost.Booster | dict[str, str]:
    """The booster in the archive, or what is wrong with the archive."""
    try:
        with tarfile.open(artifact, "r:gz") as archive:
            members = {member.name.removeprefix("./"): member for member in archive.getmembers()}
            member = members.get(MODEL)
            if member is None or not member.isfile() or member.size > LARGEST_MODEL:
                return {"problem": "no_model", "detail": ", ".join(sorted(filter(None, members))[:5])}
            content = archive.extractfile(member)
            data = content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        return {"problem": "not_tar", "detail": str(error)}
    try:
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(data))
    except (xgboost.core.XGBoostError, TypeError, ValueError) as error:
        return {"problem": "unreadable", "detail": str(error).splitlines()[0][:300]}
    return booster


def score(payload: dict[str, Any]) -> dict[str, Any]:
    """The whole answer; see the top of this file. The files must be without fault, as `findings.py` says."""
    booster = model(Path(payload["artifact"]))
    if isinstance(booster, dict):
        return booster
    channels = {name: table for name, table in findings.read(payload).items() if isinstance(table, tables.Table)}
    traced = findings.trace(payload, channels)
    width = len(traced.columns) - 1
    if booster.num_features() != width:
        return {"problem": "width", "detail": "", "features": booster.num_features(), "width": width}
    held_back = traced.source.held_back
    encoded = np.column_stack([column.encoded[held_back] for column in traced.columns[1:]])
    validation = channels["validation"].values
    return {
        "auc": tracing.auc(traced.source.label[held_back], booster.predict(xgboost.DMatrix(encoded))),
        "validation_auc": tracing.auc(validation[:, 0], booster.predict(xgboost.DMatrix(validation[:, 1:]))),
        "features": booster.num_features(),
        "width": width,
    }


if __name__ == "__main__":
    json.dump(score(json.load(sys.stdin)), sys.stdout)
