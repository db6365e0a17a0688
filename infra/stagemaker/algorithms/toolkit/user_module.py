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
    """Fetch the code and import the module that the environment names, once for this process.

    SAGEMAKER_PROGRAM is a file or a module; SAGEMAKER_SUBMIT_DIRECTORY says where its code is, by default
    in `/opt/ml/code`. The SDK sets both, the second one to `/opt/ml/model/code` when it packed the code
    with the model, or to an S3 URI. Raises ClientError.
    """
    program = environment.get(PROGRAM_VARIABLE)
    if not program:
        raise ClientError(
            f"{PROGRAM_VARIABLE} is not set: there is no module with model_fn. Set it to the name of the file "
            f"and {SUBMIT_DIRECTORY_VARIABLE} to the place of the code, for instance /opt/ml/model/code."
        )
    source = environment.get(SUBMIT_DIRECTORY_VARIABLE)
    if source and layout.located(source.removeprefix("file://")).rstrip("/") != str(layout.code):
        bring(source, layout)
    elif layout.code.is_dir():
        check_requirements(layout.code)
    # Handlers find these as on AWS. The folder of the code comes first, so that its `utils.py` is the one meant.
    os.environ["SM_MODEL_DIR"] = str(layout.model)
    sys.path[:0] = [str(layout.code), shims.FOLDER]
    importlib.invalidate_caches()
    try:
        return importlib.import_module(program.removesuffix(".py"))
    except (Exception, SystemExit) as error:
        # A script without `if __name__ == "__main__"` parses its arguments, or trains, when it is imported.
        raise ImportModuleError(f"{program} cannot be imported: {type(error).__name__}: {error}") from error
