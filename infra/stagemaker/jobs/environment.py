"""The variables that a training container finds, and the addresses of its hosts."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stagemaker.contract.hosts import HOSTS_VARIABLE
from stagemaker.contract.layout import Layout
from stagemaker.jobs.objects import stage_endpoint
from stagemaker.jobs.spec import TrainingSpec
from stagemaker.ports import Credentials

WARM_POOL_CACHE_VARIABLE = "SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"


def host_names(count: int) -> tuple[str, ...]:
    """`algo-1` to `algo-<count>`."""
    return tuple(f"algo-{number}" for number in range(1, count + 1))


def host_addresses(attempt: str, hosts: Sequence[str]) -> dict[str, str]:
    """A loopback address for each host. `attempt` is the job and what tells this start of it from others.

    On Linux all of 127.0.0.0/8 is this machine, so each host has an address of its own and the hosts of
    a job may listen on the same port, as on AWS. Elsewhere they share 127.0.0.1.
    """
    if sys.platform != "linux":
        return dict.fromkeys(hosts, "127.0.0.1")
    # Two bytes keep starts apart: a port that a host has listened on is closed to the next for a minute.
    # 127.0 and 127.1 are left to others.
    second, third = hashlib.sha256(attempt.encode()).digest()[:2]
    return {host: f"127.{second % 200 + 32}.{third}.{number}" for number, host in enumerate(hosts, start=1)}


def container_environment(
    spec: TrainingSpec, credentials: Credentials, host: str, layout: Layout, addresses: Mapping[str, str]
) -> dict[str, str]:
    """The image's variables, the request's, the service's, the role's keys; the later ones win."""
    return {
        **spec.program.environment,
        **{name: layout.located(value) for name, value in spec.environment.items()},
        **({} if spec.isolated else role_environment(spec.stage_file, credentials)),
        "TRAINING_JOB_NAME": spec.name,
        "TRAINING_JOB_ARN": spec.arn,
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "SAGEMAKER_REGION": spec.region,
        "CURRENT_HOST": host,
        "SAGEMAKER_METRICS_DIRECTORY": str(layout.output / "metrics" / "sagemaker"),
        **({WARM_POOL_CACHE_VARIABLE: str(layout.warm_pool_cache)} if spec.warm_pool else {}),
        HOSTS_VARIABLE: json.dumps(dict(addresses)),
        **thread_environment(spec.threads),
    }


def thread_environment(threads: int) -> dict[str, str]:
    """The variables that share the machine's cores out. Libraries read some of them once, when they are loaded."""
    return {
        "STAGEMAKER_CPUS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        # Two jobs that both spin on their cores run several times slower than two that wait.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def role_environment(stage_file: Path, keys: Credentials) -> dict[str, str]:
    """The variables that lead an AWS client to the stage, as the execution role. Raises OSError for no stage."""
    role = {
        "AWS_ACCESS_KEY_ID": keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        "AWS_ENDPOINT_URL": stage_endpoint(stage_file),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {**role, "AWS_SESSION_TOKEN": keys.session_token} if keys.session_token else role
