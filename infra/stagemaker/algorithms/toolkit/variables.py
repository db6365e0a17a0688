"""The `SM_...` variables and the arguments of the user's program.

Source: the README of AWS's open sagemaker-training-toolkit, "Environment variables".
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stagemaker.contract.layout import Layout
from stagemaker.contract.training import HOMOGENEOUS_CLUSTER, read_channels, read_resources

_RESERVED = frozenset({"default_user_module_name", "_tuning_objective_metric"})
CPUS_VARIABLE = "STAGEMAKER_CPUS"


def users_own(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that are meant for the program."""
    return {k: v for k, v in hyperparameters.items() if not k.startswith("sagemaker_") and k not in _RESERVED}


def arguments(hyperparameters: Mapping[str, Any], layout: Layout) -> list[str]:
    """`--name value` for each hyperparameter, sorted by name; one letter has one dash."""
    words: list[str] = []
    for name, value in sorted(users_own(hyperparameters).items()):
        words.append(f"--{name}" if len(name) > 1 else f"-{name}")
        if isinstance(value, dict):
            value = ",".join(f"{key}={item}" for key, item in sorted(value.items()))  # noqa: PLW2901 - its text
        words.append(layout.located(str(value)))
    return words


def variables(
    hyperparameters: Mapping[str, Any], layout: Layout, environment: Mapping[str, str], framework_module: str
) -> dict[str, str]:
    """All of them, as text; what is not text is JSON."""
    resources, channels = read_resources(layout), read_channels(layout)
    own = users_own(hyperparameters)
    paths = {name: str(layout.channel(name)) for name in sorted(channels)}
    program = str(hyperparameters["sagemaker_program"])
    groups = {
        HOMOGENEOUS_CLUSTER: {
            "instance_group_name": HOMOGENEOUS_CLUSTER,
            "instance_type": resources.instance_type,
            "hosts": list(resources.hosts),
        }
    }
    values: dict[str, Any] = {
        "MODEL_DIR": str(layout.model),
        "INPUT_DIR": str(layout.config.parent),
        "INPUT_CONFIG_DIR": str(layout.config),
        "OUTPUT_DIR": str(layout.output),
        "OUTPUT_DATA_DIR": str(layout.output_data),
        "OUTPUT_INTERMEDIATE_DIR": str(layout.output / "intermediate"),
        "CHANNELS": list(paths),
        "HPS": own,
        "USER_ARGS": arguments(hyperparameters, layout),
        "CURRENT_HOST": resources.current_host,
        "CURRENT_INSTANCE_TYPE": resources.instance_type,
        "CURRENT_INSTANCE_GROUP": HOMOGENEOUS_CLUSTER,
        "CURRENT_INSTANCE_GROUP_HOSTS": list(resources.hosts),
        "INSTANCE_GROUPS": list(groups),
        "INSTANCE_GROUPS_DICT": groups,
        "DISTRIBUTION_INSTANCE_GROUPS": [],
        "IS_HETERO": False,
        "HOSTS": list(resources.hosts),
        "NETWORK_INTERFACE_NAME": resources.network_interface,
        "NUM_GPUS": 0,
        "NUM_CPUS": int(environment.get(CPUS_VARIABLE) or os.cpu_count() or 1),
        "NUM_NEURONS": 0,
        "LOG_LEVEL": int(hyperparameters.get("sagemaker_container_log_level", logging.INFO)),
        "USER_ENTRY_POINT": program,
        "MODULE_NAME": Path(program).stem,
        "MODULE_DIR": str(hyperparameters.get("sagemaker_submit_directory", layout.code)),
        "FRAMEWORK_MODULE": framework_module,
        "FRAMEWORK_PARAMS": {k: v for k, v in hyperparameters.items() if k not in own},
        "INPUT_DATA_CONFIG": {name: channel.to_json() for name, channel in channels.items()},
        "RESOURCE_CONFIG": resources.to_json(),
        **{f"CHANNEL_{name.upper()}": path for name, path in paths.items()},
        **{f"HP_{name.upper()}": value for name, value in own.items()},
    }
    values["TRAINING_ENV"] = {name.lower(): value for name, value in values.items() if not name.startswith("HP_")}
    return {f"SM_{name}": _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
