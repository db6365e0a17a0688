"""What keeps the workbench from doing what it was asked, and the card that says so."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """Five lines that explain one result; an empty one is left out of the picture.

    `next` may be empty: the verdict then names the lab's usual next step. `detail` holds lines that are shown as
    they are, such as the learner's own lines of a traceback. `title` stands above the card; empty, the description
    of the check does.
    """

    looked_at: str = ""
    found: str = ""
    expected: str = ""
    likely: str = ""
    next: str = ""
    detail: tuple[str, ...] = ()
    title: str = ""


class Problem(Exception):  # noqa: N818  it is no error of the learner's and reads as what it is
    """The workbench lacks something. Neither the learner's mistake nor a judgement of their work.

    `title` says in one line what is the matter, lower case, without a full stop; `card` says what is missing and the
    command that helps.
    """

    def __init__(self, title: str, card: Card) -> None:
        super().__init__(title)
        self.title = title
        self.card = dataclasses.replace(card, title=title)

    def __str__(self) -> str:
        """One line, for places that have no room for a card."""
        return f"{self.title}: {self.card.found}" if self.card.found else self.title
