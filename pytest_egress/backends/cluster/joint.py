"""One question for all who ask at the same time, none of whom gets an older answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Joint"]

_T = TypeVar("_T")


class Joint(Generic[_T]):
    """Asks for several threads at once.

    Whoever comes while a question is under way waits for the next one, which one of those that
    wait asks for all of them.

    Args:
        ask: the question; what it raises is raised to the one who has asked.
    """

    def __init__(self, ask: Callable[[], _T]) -> None:
        self._ask = ask
        self._changed = threading.Condition()
        self._under_way = False
        self._begun = 0
        self._answers: dict[int, _T] = {}  # the last one, by its number

    def __call__(self) -> _T:
        """The answer to a question that begins from now on."""
        with self._changed:
            wanted = self._begun + 1
            while self._under_way:
                self._changed.wait()
                for number, answer in self._answers.items():
                    if number >= wanted:
                        return answer
            self._under_way = True
            self._begun += 1
            number = self._begun
        try:
            answer = self._ask()
        except BaseException:
            self._end({})
            raise
        self._end({number: answer})
        return answer

    def _end(self, answers: dict[int, _T]) -> None:
        with self._changed:
            self._under_way = False
            self._answers = answers
            self._changed.notify_all()
