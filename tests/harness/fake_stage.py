"""A stage's command for tests: it says what the folder in STAGEMAKER_STATE tells it to say.

`running` holds the address of something that listens; `taken` makes `up` fail; `variables.json` adds to `env`.
"""

import json
import os
import sys
from pathlib import Path

state = Path(os.environ["STAGEMAKER_STATE"])
running = state / "running"
command = sys.argv[1]
with (state / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\n")

if command == "up":
    if (state / "taken").is_file():
        sys.exit((state / "taken").read_text())
    running.write_text((state / "address").read_text())
elif command == "env":
    if not running.is_file():
        sys.stderr.write("no stage runs here\n")
        sys.exit(3)
    own = {
        "AWS_ENDPOINT_URL": running.read_text(),
        "AWS_ACCESS_KEY_ID": "ADMIN" if "--admin" in sys.argv else "LEARNER",
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
    sys.stdout.write(json.dumps({**own, **(json.loads(extra.read_text()) if extra.is_file() else {})}))
else:
    sys.stdout.write(f"the stage was asked: {' '.join(sys.argv[1:])}\n")
