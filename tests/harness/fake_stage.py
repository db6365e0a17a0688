"""A stage's command for tests: it says what the folder in STAGEMAKER_STATE tells it to say.

`running` holds the address of something that listens, `address` what `up` writes there; `taken` makes `up` fail with
its text; `variables.json` adds to what `env` says. Every call is noted in `calls`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

NO_STAGE = 3


def main(words: list[str], state: Path) -> int:
    """Run one command."""
    running = state / "running"
    with (state / "calls").open("a") as calls:
        calls.write(" ".join(words) + "\n")
    if words[0] == "up":
        return up(state)
    if words[0] != "env":
        sys.stdout.write(f"the stage was asked: {' '.join(words)}\n")
        return 0
    if not running.is_file():
        sys.stderr.write("stagemaker: no stage runs here\n")
        return NO_STAGE
    said = {
        "AWS_ENDPOINT_URL": running.read_text(),
        "AWS_ACCESS_KEY_ID": "ADMIN" if "--admin" in words else "LEARNER",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_TOY_ACCOUNT": str(state / "account"),
        "STAGEMAKER_ACCOUNT": "123456789012",
        "STAGEMAKER_ROLE_ARN": "arn:aws:iam::123456789012:role/StagemakerExecution",
        "STAGEMAKER_STATE": str(state),
        "STAGEMAKER_ID": (state / "id").read_text(),
    }
    extra = state / "variables.json"
    more: dict[str, str] = json.loads(extra.read_text()) if extra.is_file() else {}
    sys.stdout.write(json.dumps(said | more))
    return 0


def up(state: Path) -> int:
    """Start, unless the port is taken."""
    taken = state / "taken"
    if taken.is_file():
        sys.stderr.write(taken.read_text())
        return 1
    (state / "running").write_text((state / "address").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(os.environ["STAGEMAKER_STATE"])))
