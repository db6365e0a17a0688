"""`/invocations` of the built-in XGBoost, beside a bare `Booster.predict` behind the same HTTP server.

The bare service reads CSV by numpy, predicts and joins; it checks nothing, and knows one form of answer.
"""

from __future__ import annotations

import http.client
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from measure import Comparison, compare, seconds
from stagemaker.algorithms.toolkit import http_server
from stagemaker.algorithms.toolkit.messages import Answer, Call
from stagemaker.contract.layout import BASE_DIR_VARIABLE

COLUMNS, ROUNDS = 30, 100
_REQUESTS = {1: 1000, 1000: 100}
"""How many requests of so many rows one timing takes."""


class Bare:
    """What somebody would write in a few lines."""

    max_length = 6 * http_server.MEGABYTE

    def __init__(self, model: Path) -> None:
        import xgboost

        self._booster = xgboost.Booster({"nthread": 1}, model_file=model)

    async def ping(self) -> Answer:
        """It listens."""
        return Answer(HTTPStatus.OK)

    async def execution_parameters(self) -> Answer:
        """Not asked for."""
        return Answer(HTTPStatus.NOT_FOUND)

    async def invoke(self, call: Call) -> Answer:
        """Numbers in, numbers out."""
        import numpy as np
        import xgboost

        rows = np.loadtxt(io.BytesIO(call.body), delimiter=",", dtype=np.float32, ndmin=2)
        scores = self._booster.predict(xgboost.DMatrix(rows, nthread=1))
        return Answer(HTTPStatus.OK, "\n".join(map(str, scores.tolist())).encode(), "text/csv")


def write_model(folder: Path) -> Any:
    """A model of 100 trees in the folder of a container; the rows that it was trained on."""
    import numpy as np
    import xgboost

    rows = np.random.default_rng(7).normal(size=(20_000, COLUMNS)).astype(np.float32).round(4)
    train = xgboost.DMatrix(rows, label=rows[:, 0] + rows[:, 1] * rows[:, 2] > 0)
    booster = xgboost.train({"objective": "binary:logistic"}, train, ROUNDS)
    (folder / "model").mkdir()
    (folder / "model" / "xgboost-model").write_bytes(booster.save_raw("ubj"))
    return rows


@contextmanager
def serving(command: list[str], base: Path, port: int) -> Iterator[http.client.HTTPConnection]:
    """A connection to the server that `command` starts."""
    environment = {**os.environ, BASE_DIR_VARIABLE: str(base), http_server.PORT_VARIABLE: str(port)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            while True:
                try:
                    connection.request("GET", "/ping")
                    connection.getresponse().read()
                    break
                except OSError:
                    if process.poll() is not None:
                        raise
                    connection.close()
                    time.sleep(0.05)
            yield connection
        finally:
            connection.close()
            process.terminate()


def requests(connection: http.client.HTTPConnection, body: bytes, count: int) -> float:
    """Seconds of so many requests, one after the other on one connection."""

    def send() -> None:
        for _ in range(count):
            connection.request("POST", "/invocations", body, {"Content-Type": "text/csv"})
            response = connection.getresponse()
            if response.status != HTTPStatus.OK or not response.read():
                raise RuntimeError(f"status {response.status}")

    return seconds(send)


def run() -> Iterator[Comparison]:
    """A comparison for each number of rows."""
    with tempfile.TemporaryDirectory(prefix="stagemaker-bench-") as name:
        base = Path(name)
        rows = write_model(base)
        ours = [sys.executable, "-m", "stagemaker.algorithms.xgboost", "serve"]
        bare = [sys.executable, __file__, "serve"]
        with serving(ours, base, 4611) as first, serving(bare, base, 4612) as second:
            for number, count in _REQUESTS.items():
                body = "\n".join(",".join(map(str, row)) for row in rows[:number].tolist()).encode()
                yield compare(
                    f"{count} requests of {number} row{'s' if number > 1 else ''} to XGBoost's `/invocations`, "
                    "beside a bare `Booster.predict` behind the same server",
                    lambda body=body, count=count: requests(first, body, count),  # type: ignore[misc]  # mypy has no type for lambdas with defaults
                    lambda body=body, count=count: requests(second, body, count),  # type: ignore[misc]  # the same
                    runs=7,
                )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        http_server.run(Bare(Path(os.environ[BASE_DIR_VARIABLE]) / "model" / "xgboost-model"), os.environ)
    else:
        for comparison in run():
            print(comparison.row(), flush=True)
