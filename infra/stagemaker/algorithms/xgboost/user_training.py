"""What AWS's package offers to training scripts: reading data, and training on several hosts.

Names and parameters are those of `data_utils` and `distributed` of AWS's open container.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xgboost

from stagemaker.algorithms.xgboost import content_types
from stagemaker.algorithms.xgboost.channels import no_pipes
from stagemaker.algorithms.xgboost.content_types import ContentType
from stagemaker.algorithms.xgboost.distributed import Cluster, hosts_with_data, is_master, leave, together
from stagemaker.algorithms.xgboost.files import data_files
from stagemaker.algorithms.xgboost.job import threads
from stagemaker.algorithms.xgboost.loading import read
from stagemaker.algorithms.xgboost.pipes import drain
from stagemaker.algorithms.xgboost.version import Version
from stagemaker.contract.hosts import address_of

LOG = logging.getLogger(__name__)


def get_content_type(content_type_cfg_val: str | None) -> str:
    """`csv`, `libsvm`, `parquet` or `recordio-protobuf`. Raises UserError for others."""
    return str(content_types.parse(content_type_cfg_val))


def get_dmatrix(
    data_path: str | Sequence[str], content_type: str, csv_weights: int = 0, is_pipe: bool = False
) -> xgboost.DMatrix | None:
    """The matrix of a file, of a folder's files or of several of either; None where there is nothing.

    Raises UserError for files that are not what `content_type` says, and for a pipe where the image has
    none.
    """
    parsed = content_types.parse(content_type)
    paths = [Path(path) for path in ([data_path] if isinstance(data_path, str) else data_path)]
    if is_pipe:
        return _from_pipe(paths[0], parsed, csv_weights)
    files = [file for path in paths for file in ([path] if path.is_file() else data_files(path))]
    return _matrix(files, parsed, csv_weights, piped=False)


def rabit_run(
    exec_fun: Callable[..., Any],
    args: Mapping[str, Any],
    include_in_training: bool,
    hosts: Sequence[str],
    current_host: str,
    first_port: int | None = None,
    second_port: int | None = None,
    max_connect_attempts: int | None = None,
    connect_retry_timeout: int = 10,
    update_rabit_args: bool = False,
) -> None:
    """Call `exec_fun(**args)` on all hosts that have data, joined by the library's collective.

    With `update_rabit_args` it also gets `is_master`, which says whether this host is to save the model. A
    host without data ends here, with exit code 0. Ports and retries are the stage's own.
    """
    alone = Cluster(current_host, tuple(sorted(hosts)))
    cluster = hosts_with_data(alone, include_in_training, address_of)
    if not include_in_training:
        leave(cluster.hosts)
        sys.exit(0)
    with together(cluster, address_of):
        exec_fun(**{**args, **({"is_master": is_master(cluster)} if update_rabit_args else {})})


def _from_pipe(path: Path, content_type: ContentType, csv_weights: int) -> xgboost.DMatrix | None:
    if not Version.from_environment(os.environ).has_pipe_mode or content_type is ContentType.LIBSVM:
        raise no_pipes(content_type)
    with TemporaryDirectory() as folder:
        files = drain(path.with_name(f"{path.name}_0"), Path(folder) / "data")
        return _matrix(files, content_type, csv_weights, piped=True)


def _matrix(
    files: Sequence[Path], content_type: ContentType, csv_weights: int, *, piped: bool
) -> xgboost.DMatrix | None:
    if not files:
        return None
    records = read(files, content_type, weighted=csv_weights == 1, piped=piped)
    return records.to_dmatrix(threads(None, os.environ))
