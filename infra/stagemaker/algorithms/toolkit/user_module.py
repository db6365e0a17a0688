"""The user's module with the handlers: where it is and how it is imported."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from types import ModuleType

from stagemaker.algorithms.toolkit import shims
from stagemaker.algorithms.toolkit.code import bring
from stagemaker.algorithms.toolkit.errors import ClientError
from stagemaker.algorithms.toolkit.requirements import check_requirements
from stagemaker.contract.layout import Layout

PROGRAM_VARIABLE = "SAGEMAKER_PROGRAM"
SUBMIT_DIRECTORY_VARIABLE = "SAGEMAKER_SUBMIT_DIRECTORY"


class ImportModuleError(ClientError):
    """The user's module cannot be imported."""


def load(environment: Mapping[str, str], layout: Layout) -> ModuleType:
    """Fetch the code and import the module in this process. Raises ClientError."""
    fetch(environment, layout)
    sys.path[:] = import_path(layout)
    return import_module(environment, layout)


def fetch(environment: Mapping[str, str], layout: Layout) -> None:
    """Bring the code of the module to `/opt/ml/code`. Raises ClientError.

    SAGEMAKER_PROGRAM is a file or a module; SAGEMAKER_SUBMIT_DIRECTORY says where its code is, by default
    in `/opt/ml/code`. The SDK sets both, the second one to `/opt/ml/model/code` when it packed the code
    with the model, or to an S3 URI. No default is made of either: the SDK's other frameworks know a default
    `inference.py`, these images do not.
    """
    if not environment.get(PROGRAM_VARIABLE):
        raise ClientError(
            f"{PROGRAM_VARIABLE} is not set: there is no module with model_fn. Set it to the name of the file "
            f"and {SUBMIT_DIRECTORY_VARIABLE} to the place of the code, for instance /opt/ml/model/code."
        )
    source = environment.get(SUBMIT_DIRECTORY_VARIABLE)
    if source and layout.located(source.removeprefix("file://")).rstrip("/") != str(layout.code):
        bring(source, layout)
    elif layout.code.is_dir():
        check_requirements(layout.code)


def import_path(layout: Layout) -> list[str]:
    """Where modules are looked for: first in the folder of the code, so that its `utils.py` is the one meant."""
    return [str(layout.code), shims.FOLDER, *sys.path]


def import_module(environment: Mapping[str, str], layout: Layout) -> ModuleType:
    """Import the module that SAGEMAKER_PROGRAM names. Raises ImportModuleError."""
    program = environment[PROGRAM_VARIABLE]
    os.environ["SM_MODEL_DIR"] = str(layout.model)  # as in AWS's image
    importlib.invalidate_caches()
    try:
        return importlib.import_module(program.removesuffix(".py"))
    except (Exception, SystemExit) as error:
        # A script without `if __name__ == "__main__"` parses its arguments, or trains, when it is imported.
        raise ImportModuleError(f"{program} cannot be imported: {type(error).__name__}: {error}") from error
