"""`train` and `serve` of the scikit-learn image."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from stagemaker.algorithms.toolkit import script
from stagemaker.algorithms.toolkit.code import PROGRAM
from stagemaker.algorithms.toolkit.errors import ScriptError
from stagemaker.algorithms.toolkit.program import log_to_stderr, outcome
from stagemaker.contract.layout import Layout
from stagemaker.contract.training import read_hyperparameters

LOG = logging.getLogger(__name__)

TAG_VARIABLE = "STAGEMAKER_IMAGE_TAG"
"""Baked into the image; in a process without an image the launcher sets it."""
FRAMEWORK_MODULE = "sagemaker_sklearn_container.training:main"


def main(arguments: Sequence[str]) -> int:
    """The image's entry point: `train` or `serve`. Returns the exit code."""
    if list(arguments) not in (["train"], ["serve"]):
        sys.stderr.write("usage: python -m stagemaker.algorithms.sklearn train|serve\n")
        return 2
    log_to_stderr()
    layout = Layout.from_environment()
    LOG.info("%s", versions(os.environ))
    if arguments[0] == "train":
        return outcome(layout, lambda: train(layout, os.environ))
    from stagemaker.algorithms.sklearn.serving import serve  # numpy and uvicorn, which training does without

    return serve(layout, os.environ)


def versions(environment: Mapping[str, str]) -> str:
    """What the tag says and what is really there."""
    tag = environment.get(TAG_VARIABLE) or "without a tag"
    return f"Image sagemaker-scikit-learn {tag}: the library here is scikit-learn {version('scikit-learn')}"


def train(layout: Layout, environment: Mapping[str, str]) -> None:
    """Run the user's program to its end. Raises ScriptError."""
    strings = read_hyperparameters(layout)
    if PROGRAM not in strings:
        raise ScriptError(
            f"framework error: \nthe hyperparameter {PROGRAM} is missing: this image has no algorithm of its own"
        )
    LOG.info("Invoking user training script.")
    script.run(strings, layout, environment, FRAMEWORK_MODULE)
