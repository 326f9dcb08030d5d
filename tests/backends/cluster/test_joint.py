"""One question for all who ask at the same time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_egress.backends.cluster.joint import Joint


class Question:
    """Answers with its number; each may be held."""

    def __init__(self) -> None:
        self.asked = 0
        self.began = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def __call__(self) -> int:
        """Ask once more."""
        self.asked += 1
        number = self.asked
        self.began.release()
        assert self.go_on.acquire(timeout=30)
        return number


def wait_until_all_wait(joint: Joint[int], count: int) -> None:
    """Return once so many threads wait for a question that is under way."""
    while True:
        with joint._changed:
            if len(joint._changed._waiters) == count:  # type: ignore[attr-defined]
                return
        time.sleep(0.001)


def test_who_asks_alone_has_an_answer_each_time() -> None:
    """Nothing is kept."""
    question = Question()
    joint = Joint(question)
    for number in (1, 2, 3):
        question.go_on.release()
        assert joint() == number


def test_those_who_come_meanwhile_share_the_next_one() -> None:
    """What was under way when they came says nothing of what they have seen."""
    question = Question()
    joint = Joint(question)
    with ThreadPoolExecutor(6) as executor:
        first = executor.submit(joint)
        assert question.began.acquire(timeout=30)
        others = [executor.submit(joint) for _ in range(5)]
        wait_until_all_wait(joint, 5)
        question.go_on.release()
        assert first.result(30) == 1
        assert question.began.acquire(timeout=30)
        question.go_on.release()
        assert [it.result(30) for it in others] == [2] * 5
    assert question.asked == 2


def test_failure_is_of_the_one_who_has_asked() -> None:
    """The others ask again."""
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    answers: list[int | Exception] = [ValueError("no"), 7]

    def ask() -> int:
        begun.release()
        assert go_on.acquire(timeout=30)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    joint = Joint(ask)
    with ThreadPoolExecutor(3) as executor:
        first = executor.submit(joint)
        assert begun.acquire(timeout=30)
        others = [executor.submit(joint) for _ in range(2)]
        wait_until_all_wait(joint, 2)
        go_on.release()
        with pytest.raises(ValueError, match="no"):
            first.result(30)
        go_on.release()
        assert [it.result(30) for it in others] == [7, 7]
