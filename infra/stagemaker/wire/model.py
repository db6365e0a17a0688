"""botocore's service models, loaded fast.

Reading SageMaker's model from botocore takes about 100 ms, most of it gzip and JSON. Without its
documentation and written as `marshal` it loads in 6 ms, so a copy is kept in the user's cache
folder, named by botocore's version. The copy is only a cache: it may be deleted, or never written.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from botocore.model import ServiceModel

DOCUMENTATION_KEYS = frozenset({"documentation", "examples", "smithy"})


def cache_folder() -> Path:
    """The folder of cached models, under `XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "stagemaker" / f"botocore-{version('botocore')}"


def _plain(value: Any) -> Any:
    """A copy in dicts, lists and scalars, which are all that `marshal` takes, without prose."""
    if isinstance(value, dict):
        # Inside "members" the keys are the API's own names, and one may be called "documentation".
        return {
            str(key): {str(name): _plain(member) for name, member in entry.items()}
            if key == "members" and isinstance(entry, dict)
            else _plain(entry)
            for key, entry in value.items()
            if not (key in DOCUMENTATION_KEYS and isinstance(entry, str))
        }
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _read_from_botocore(service: str) -> dict[str, Any]:
    from botocore.loaders import Loader  # 75 ms: only when there is no cached copy

    loader = Loader()
    document: dict[str, Any] = _plain(loader.load_service_model(service, "service-2"))
    return document


@cache
def load_service_model(service: str) -> ServiceModel:
    """The model of `service` as botocore names it (`sagemaker`, `logs`, `cloudwatch`)."""
    file = cache_folder() / f"{service}.marshal"
    try:
        document = marshal.loads(file.read_bytes())  # noqa: S302 - a file of the user's own cache
    except (OSError, ValueError, EOFError, TypeError):
        document = _read_from_botocore(service)
        _keep(file, document)
    return ServiceModel(document, service)


def _keep(file: Path, document: dict[str, Any]) -> None:
    """Write the copy whole or not at all; a folder that cannot be written costs only time."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "wb") as target:
            target.write(marshal.dumps(document))
        Path(temporary).replace(file)
