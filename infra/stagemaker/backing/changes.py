"""What a call has changed, and so must be on the disk before it is answered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Changes:
    """Objects by (bucket, key), multipart uploads, their parts by (upload, number), services by signing name."""

    keys: set[tuple[str, str]] = field(default_factory=set)
    uploads: set[str] = field(default_factory=set)
    parts: set[tuple[str, int]] = field(default_factory=set)
    services: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.keys or self.uploads or self.parts or self.services)

    def add(self, other: Changes) -> None:
        """Add what `other` holds."""
        self.keys |= other.keys
        self.uploads |= other.uploads
        self.parts |= other.parts
        self.services |= other.services
