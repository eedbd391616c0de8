"""The native kernel in a Python of its own: interrupted by Ctrl-C, and without memory for its threads."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

INTERRUPTED = """
import os, signal, threading, torch
from kernels import Architecture, Training, train
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored in the background of a shell script
architecture = Architecture({widths})
params, x = architecture.initial(4096), torch.ones(64, architecture.n_inputs)
for seconds in {seconds}:
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    train(architecture, params, (x, x[:, :1]), Training(10**5), backend="native")
except KeyboardInterrupt:
    print("interrupted", [t.name for t in threading.enumerate() if t.name == "lmc-native"])
again = train(architecture, params[:4], (x, x[:, :1]), Training(2), backend="native")  # a notebook goes on
print(bool(again.params.isfinite().all()))
"""


def interrupted(widths, seconds):
    program = INTERRUPTED.format(widths=widths, seconds=seconds)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("widths", [(2, 16, 1), (4, 64, 64, 1)])
def test_ctrl_c_in_a_script_stops_the_kernel_and_nothing_else(native_backend, widths):
    """When the exception comes, no thread writes into the arrays any more."""
    done = interrupted(widths, (1.0,))
    assert done.returncode == 0, (done.returncode, done.stderr[-1000:])
    assert done.stdout.split("\n")[:2] == ["interrupted []", "True"]


def test_an_impatient_user_interrupts_but_does_not_crash_it(native_backend):
    """Further ones may come while the kernel stops, and are waited out, or after that, and end the script."""
    done = interrupted((4, 64, 64, 1), (1.0, 1.0001, 1.002))
    assert done.returncode in (0, 1, -signal.SIGINT), (done.returncode, done.stderr[-1000:])
    assert "lmc-native" not in done.stdout


LARGE = """
import os, signal, threading, time, torch
from kernels import Architecture, Training, path_losses, train
signal.signal(signal.SIGINT, signal.default_int_handler)
architecture = Architecture((4, 512, 512, 1))
params, x = architecture.initial(64), torch.ones({n_samples}, 4)
waits = []
for _ in range(3):
    def interrupt():
        waits.append(-time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Timer(1.0, interrupt).start()
    try:
        {call}
    except KeyboardInterrupt:
        waits[-1] += time.perf_counter()
print(min(waits))
"""
TRAIN = "train(architecture, params, (x, x[:, :1]), Training(10**5), backend='native')"
PATHS = "path_losses(architecture, params[:32], params[32:], 25, (x, x[:, :1]), backend='native')"


@pytest.mark.parametrize(
    ("call", "n_samples"), [(TRAIN, 256), (TRAIN, 100_000), (PATHS, 20_000)], ids=["steps", "samples", "paths"]
)
def test_large_networks_stop_within_a_second(native_backend, call, n_samples):
    """64 steps of the first take over ten seconds, one of the second a minute. The best of three: machines stall."""
    program = LARGE.format(call=call, n_samples=n_samples)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    assert 0 < float(done.stdout) < 1


WITHOUT_ROOM = """
import resource, torch
from kernels import Architecture, Training, train
architecture = Architecture((1, 2, 1))
params, x = architecture.initial(16 * 3000), torch.ones(4, 1)
alone = train(architecture, params, (x, x), Training(2), backend="native", threads=1)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (resource.getpagesize() * pages + 2**30,) * 2)
many = train(architecture, params, (x, x), Training(2), backend="native", threads=3000)
print(torch.equal(many.params, alone.params))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_threads_that_find_no_room_are_done_without(native_backend):
    """Stacks of 3,000 threads take 24 GB of addresses; those that can be had do all of the work."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_ROOM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr[-1000:]
