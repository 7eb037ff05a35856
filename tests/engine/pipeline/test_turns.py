"""Threads take turns with a lock, instead of one of them keeping it."""

from __future__ import annotations

import itertools
import threading

from saliency_engine.pipeline.turns import Turns


def test_who_waits_comes_before_who_has_just_let_go() -> None:
    turns, order, both = Turns(), list[int](), threading.Barrier(2)

    def work(name: int) -> None:
        both.wait()
        for _ in range(200):
            with turns, turns:  # which may be taken again by who has it
                order.append(name)
                both_waiting.wait(0.0005)

    both_waiting = threading.Event()  # never set: a pause in which the other thread comes to the door
    threads = [threading.Thread(target=work, args=(name,)) for name in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert changes > 200, "one thread kept the lock"
