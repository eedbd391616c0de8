"""Files with checksums inside: a signal while one is read is a signal, and not damage."""

import random
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import torch

from testbed.cli import Ended, main
from testbed.results import sealed

ABOUT = {"name": "ones"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "ones"
    sealed.write_tensors(path, {f"x{number}": torch.ones(5, 3) for number in range(6)}, ABOUT)
    return path


def test_signals_while_a_file_is_read(file):
    """torch's C++ calls Python, and takes what a signal raises there for a shape that it could not find out."""

    def stop(number, frame):
        raise KeyboardInterrupt

    rng = random.Random(0)
    interrupted = 0
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for _ in range(2000):  # of which every third or fourth had been damage
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 4e-4))
                try:
                    assert sealed.tensors_of(file)[1] == ABOUT
                except KeyboardInterrupt:
                    interrupted += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100


@pytest.fixture
def swallowed(monkeypatch):
    """The first file that is opened from now on seems damaged."""
    opened = sealed.safe_open
    errors = [ValueError("could not determine the shape of object type 'torch.storage.UntypedStorage'")]

    def open_it(*arguments):
        if errors:
            raise errors.pop()
        return opened(*arguments)

    monkeypatch.setattr(sealed, "safe_open", open_it)


def test_what_can_be_read_the_second_time_was_interrupted(file, swallowed):
    with pytest.raises(KeyboardInterrupt):
        sealed.tensors_of(file)


def test_no_signal_falls_into_other_threads(file, swallowed):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(sealed.tensors_of, file).result()[1] == ABOUT


def test_the_command_names_the_signal_that_a_library_took(monkeypatch, capsys):
    def run(arguments):
        with suppress(Ended):
            signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt

    monkeypatch.setattr("testbed.cli._run", run)
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in capsys.readouterr().err
