"""`train` and `serve`: exit codes, logging and the failure file."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from stagemaker.algorithms.toolkit import script
from stagemaker.algorithms.toolkit.code import PROGRAM
from stagemaker.algorithms.toolkit.errors import ScriptError
from stagemaker.algorithms.toolkit.program import log_to_stderr
from stagemaker.algorithms.toolkit.user_module import PROGRAM_VARIABLE
from stagemaker.algorithms.xgboost import shims
from stagemaker.algorithms.xgboost.errors import ToolkitError
from stagemaker.algorithms.xgboost.job import TrainingJob, read_job
from stagemaker.algorithms.xgboost.light import without_scikit_learn
from stagemaker.contract.failure import FailureClass, report_failure
from stagemaker.contract.layout import Layout
from stagemaker.contract.training import read_hyperparameters

LOG = logging.getLogger(__name__)

FRAMEWORK_MODULE = "sagemaker_xgboost_container.training:main"


def main(arguments: Sequence[str]) -> int:
    """The image's entry point: `train` or `serve`. Returns the exit code."""
    log_to_stderr()
    if list(arguments) == ["train"]:
        return train(Layout.from_environment(), os.environ, handle_signals=True)
    if list(arguments) == ["serve"]:
        # The user's handlers live in this process, and may use any part of the library.
        with nullcontext() if os.environ.get(PROGRAM_VARIABLE) else without_scikit_learn():
            from stagemaker.algorithms.xgboost.server import serve

        return serve(Layout.from_environment(), os.environ)
    sys.stderr.write("usage: python -m stagemaker.algorithms.xgboost train|serve\n")
    return 2


def train(layout: Layout, environment: Mapping[str, str], *, handle_signals: bool = False) -> int:
    """Carry out the training job that lies under `layout`; 0 when the model is written, else 1.

    On failure the reason lies in the failure file and its class beside it. Nothing is raised.
    `handle_signals` makes SIGTERM end a job with save_model_on_termination cleanly; it needs the
    main thread.
    """
    try:
        with _warnings_in_log():
            _train(layout, environment, handle_signals=handle_signals)
    except ToolkitError as error:
        return _fail(layout, error.kind, str(error), error)
    except ScriptError as error:
        return _fail(layout, error.kind, str(error), error, code=error.code)
    except Exception as error:  # noqa: BLE001 - whatever happened, the customer must read it in FailureReason
        return _fail(layout, FailureClass.ALGORITHM, f"framework error: \n{traceback.format_exc()}", error)
    LOG.info("Reporting training SUCCESS")
    return 0


def _train(layout: Layout, environment: Mapping[str, str], *, handle_signals: bool) -> None:
    strings = read_hyperparameters(layout)
    if PROGRAM in strings:
        LOG.info("Invoking user training script.")
        paths = os.pathsep.join(filter(None, (shims.FOLDER, environment.get("PYTHONPATH"))))
        script.run(strings, layout, {**environment, "PYTHONPATH": paths}, FRAMEWORK_MODULE)
        return
    # In the job's own tree: who is killed leaves nothing elsewhere.
    with TemporaryDirectory(prefix=".drained-", dir=layout.base) as drained:
        job = read_job(layout, environment, Path(drained))
        if handle_signals and job.hyperparameters.get("save_model_on_termination") == "true":
            _keep_model_on_sigterm(job)
        # The library takes a third of a second to import; a mistake in the request is refused before.
        with without_scikit_learn():
            from stagemaker.algorithms.xgboost import boosting

        boosting.train(job)


def _fail(layout: Layout, kind: FailureClass, text: str, error: Exception, code: int = 1) -> int:
    LOG.error("Reporting training FAILURE", exc_info=error)
    report_failure(layout, kind, text)
    return code


def _keep_model_on_sigterm(job: TrainingJob) -> None:
    """End with exit code 0 on SIGTERM, leaving whole models only.

    Python runs the handler between two calls of the library, so a round is never cut in half.
    """

    def stop(_: int, __: FrameType | None) -> None:
        for file in job.model.glob("*"):
            if not file.name.startswith("xgboost-model"):
                file.unlink(missing_ok=True)
        # No clean-up by the interpreter: the library's threads may be in the middle of things.
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def _warnings_in_log() -> Iterator[None]:
    """The library's warnings go to the log in the log's form, and never become errors."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        LOG.warning("%s", " ".join(str(message).split()))

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield
