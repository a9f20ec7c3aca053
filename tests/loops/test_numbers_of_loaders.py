"""Which loader an iterator belongs to, also where a library's iterator can't be told apart."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from trainbottleneck.agent.batches import Batches


class Unkeyed:
    """An iterator that compares by value, and so is no key of a dictionary."""

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


@pytest.fixture
def batches() -> Batches:
    return Batches(torch=None, recorder=None, hooks=None)  # type: ignore[arg-type]


def test_an_iterator_that_is_no_key_has_no_number_and_raises_nothing(batches: Batches) -> None:
    iterator: Any = Unkeyed()
    assert batches._registered(iterator) == batches._number_of(iterator) == 0


def test_asking_about_an_iterator_that_is_still_being_made_is_not_remembered(batches: Batches) -> None:
    class Iterator:
        pass

    iterator = Iterator()
    assert batches._registered(iterator) == 0
    batches.iterators[iterator] = 3
    assert batches._number_of(iterator) == 3
