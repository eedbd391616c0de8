"""A call of the compiled library that is interrupted while its thread starts."""

from __future__ import annotations

import _thread
import gc
import threading
import time
import weakref

import pytest

from kernels.native import library


@pytest.mark.parametrize("moment", ["before the thread", "before it says so", "after"])
def test_ctrl_c_while_the_thread_of_a_call_starts(monkeypatch, moment):
    """Arrays live as long as what writes into them, whoever gave up on it; and nobody waits for what never began."""
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    class Interrupted(threading.Thread):
        def start(self):
            if moment == "before it says so":
                _thread.start_new_thread(self.run, ())
            elif moment == "after":
                super().start()
            raise KeyboardInterrupt

    class Arrays:
        pass

    def function(spec):
        entered.set()
        leave.wait()
        assert alive() is not None
        left.set()
        return 0

    monkeypatch.setattr(library.threading, "Thread", Interrupted)
    monitor = library.Monitor()
    arrays = Arrays()
    alive = weakref.ref(arrays)
    _thread.start_new_thread(lambda: (time.sleep(0.3), leave.set()), ())
    try:
        library.call(function, monitor, monitor, 1, arrays)
    except KeyboardInterrupt:
        was_waited_for = left.is_set()
    del arrays
    gc.collect()
    assert monitor.cancel == 1
    assert was_waited_for == (moment == "after")
    if moment == "before the thread":
        assert not entered.is_set()
        assert alive() is None
    else:
        assert left.wait(5)
