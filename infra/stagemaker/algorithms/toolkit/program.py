"""What `train` does in every image on the training toolkit: the log, the exit code and the failure file."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping

from stagemaker.algorithms.toolkit.errors import ScriptError
from stagemaker.contract.failure import FailureClass, report_failure
from stagemaker.contract.layout import Layout

LOG = logging.getLogger(__name__)


LOG_LEVEL_VARIABLE = "SAGEMAKER_CONTAINER_LOG_LEVEL"
"""A level's number. The SDK sets it for models."""


def log_to_stderr(environment: Mapping[str, str] = os.environ) -> None:
    """The log of the program, in UTC as in any container."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter("[%(asctime)s:%(levelname)s] %(message)s", datefmt="%Y-%m-%d:%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    level = environment.get(LOG_LEVEL_VARIABLE, "")
    logging.basicConfig(level=int(level) if level.isdecimal() else logging.INFO, handlers=[handler])


def outcome(layout: Layout, work: Callable[[], None]) -> int:
    """Do the work of a training job; its exit code.

    On failure the reason lies in the failure file and its class beside it. Nothing is raised.
    """
    try:
        work()
    except ScriptError as error:
        return _fail(layout, error.kind, str(error), error, error.code)
    except Exception as error:  # noqa: BLE001 - whatever happened, the customer must read it in FailureReason
        return _fail(layout, FailureClass.ALGORITHM, f"framework error: \n{traceback.format_exc()}", error, 1)
    LOG.info("Reporting training SUCCESS")
    return 0


def _fail(layout: Layout, kind: FailureClass, text: str, error: Exception, code: int) -> int:
    LOG.error("Reporting training FAILURE", exc_info=error)
    report_failure(layout, kind, text)
    return code
