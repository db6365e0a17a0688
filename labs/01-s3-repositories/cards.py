"""What the lab's helper processes answer with."""

from __future__ import annotations

Card = dict[str, str]


def card(looked_at: str, found: str, expected: str, likely: str, step: str) -> Card:
    """A card, as `wrong` takes its keywords."""
    return {"looked_at": looked_at, "found": found, "expected": expected, "likely": likely, "next": step}
