"""The settings in force: what the request says, else what the container says of itself, else the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagemaker.jobs.transform.spec import MEGABYTE, Split, Strategy, TransformSpec

DEFAULT_CONCURRENT, DEFAULT_STRATEGY, DEFAULT_PAYLOAD_MB = 1, Strategy.MULTI, 6
MOST_MEGABYTES = 100
"""MaxPayloadInMB, and that times MaxConcurrentTransforms."""
_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Settings:
    """How an instance is fed. `payload_mb` 0 is no limit."""

    concurrent: int
    payload_mb: int
    strategy: Strategy

    @classmethod
    def of(cls, spec: TransformSpec, told: Mapping[str, Any]) -> Settings:
        """From the request and `told`, the container's /execution-parameters; of those what makes no sense is ignored.

        What the two say together may be more than 100 MB at once: then fewer are sent at a time.
        """
        concurrent = spec.max_concurrent or _whole(told.get("MaxConcurrentTransforms")) or DEFAULT_CONCURRENT
        payload = spec.max_payload_mb
        if payload is None:
            payload = min(_whole(told.get("MaxPayloadInMB")) or DEFAULT_PAYLOAD_MB, MOST_MEGABYTES)
        strategies = {name: each for each in Strategy for name in (each.value, each.in_container)}
        strategy = spec.strategy or strategies.get(str(told.get("BatchStrategy")), DEFAULT_STRATEGY)
        return cls(max(1, min(concurrent, MOST_MEGABYTES // max(payload, 1))), payload, strategy)

    @property
    def limit(self) -> int:
        """Bytes of a payload at most."""
        return self.payload_mb * MEGABYTE or _NO_LIMIT

    def is_streamed(self, split: Split) -> bool:
        """Whether objects are sent whole and in chunks, however large they are."""
        return self.payload_mb == 0 and split is Split.NONE


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
