"""The user's code: where it comes from, and its folder under `/opt/ml/code`."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stagemaker.algorithms.toolkit.errors import ClientError
from stagemaker.algorithms.toolkit.requirements import check_requirements
from stagemaker.contract.layout import Layout

PROGRAM = "sagemaker_program"
SUBMIT_DIRECTORY = "sagemaker_submit_directory"


def decoded(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """The values as the SDK meant them: JSON where they are JSON, else the text."""
    return {name: _decode(text) for name, text in hyperparameters.items()}


def fetch(hyperparameters: Mapping[str, Any], layout: Layout) -> Path:
    """Bring the code to `/opt/ml/code` and return the program in it. Raises ClientError."""
    program, source = str(hyperparameters[PROGRAM]), hyperparameters.get(SUBMIT_DIRECTORY)
    if source is None:
        raise ClientError(f"The hyperparameter {SUBMIT_DIRECTORY} is missing: there is no code to run.")
    bring(str(source), layout)
    file = layout.code / program
    if not file.resolve().is_relative_to(layout.code.resolve()) or not file.is_file():
        raise ClientError(f"{PROGRAM} {program} is not in the code that was submitted.")
    return file


def bring(source: str, layout: Layout) -> None:
    """Make `/opt/ml/code` hold the code at `source`; what was there before goes.

    `source` is the S3 URI of a tar archive, or in the container (plain or as `file://`) a folder, an
    archive or one file. Raises ClientError for code that cannot be had, and for requirements that are
    not installed.
    """
    # In two steps, so that a container that is killed in between does not leave half of the code.
    part = layout.base / "code.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    if source.startswith("s3://"):
        archive = layout.base / "code.tar.gz"
        _download(source, archive)
        _unpack(archive, part, source)
        archive.unlink()
    else:
        _copy(Path(layout.located(source.removeprefix("file://"))), part, source)
    shutil.rmtree(layout.code, ignore_errors=True)
    part.rename(layout.code)
    check_requirements(layout.code)


def _copy(found: Path, folder: Path, shown: str) -> None:
    if folder.resolve().is_relative_to(found.resolve()):
        raise ClientError(f"The code at {shown} holds the folder that it would be copied to.")
    if found.is_dir():
        shutil.copytree(found, folder, dirs_exist_ok=True)
    elif not found.is_file():
        raise ClientError(f"The code at {shown} does not exist in the container.")
    elif tarfile.is_tarfile(found):
        _unpack(found, folder, shown)
    else:
        shutil.copy2(found, folder)


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _download(uri: str, file: Path) -> None:
    import boto3  # 0.3 s, only for jobs that need it
    from botocore.exceptions import BotoCoreError
    from botocore.exceptions import ClientError as Refusal

    address = urlsplit(uri)
    try:
        boto3.client("s3").download_file(address.netloc, address.path.lstrip("/"), str(file))
    except (BotoCoreError, Refusal) as error:
        raise ClientError(f"The code at {uri} cannot be fetched: {error}") from error


def _unpack(archive: Path, folder: Path, shown: str) -> None:
    """Unpack, refusing members that would lie outside."""
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise ClientError(f"The code at {shown} is not a tar archive that can be unpacked: {error}") from error
