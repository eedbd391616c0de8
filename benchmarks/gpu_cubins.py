"""Machine code of one Triton, measured where another one is installed.

    python benchmarks/gpu_cubins.py make cubins.pickle     # anywhere: compiles for a named GPU, with the Triton here
    python benchmarks/gpu_cubins.py run cubins.pickle      # on that GPU: launches them through CuPy, beside its own

`make` needs no GPU and `run` no second Triton: a cubin is loaded by the driver (CuPy's RawModule) and given the
arguments that its compiled signature names. What `run` prints is network-steps a second of the training kernel alone,
and how far its parameters are from those of the Triton that is installed; full batch of 32, SGD, relu, float32.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import triton
import tyro

from kernels.gpu import launch
from kernels.gpu.calls import Call
from kernels.gpu.compile import compile_kernel
from kernels.gpu.rates import name, timed

NETWORKS = {(2, 16, 1): 2**17, (2, 32, 1): 2**17, (2, 8, 8, 1): 2**17, (2, 32, 32, 1): 2**14, (2, 64, 64, 1): 2**13}
STEPS = 200
SCRATCH = 2  # pointers that Triton passes behind a kernel's own arguments; null, since the kernels ask for none


def make(path: Path, gpu: str) -> None:
    """Compile every network's training kernel, and write what a launch needs."""
    made = []
    for widths in NETWORKS:
        kernel, plan = compile_kernel(timed(widths, 2, STEPS, "cpu"), gpu)
        metadata = kernel.metadata
        assert not metadata.global_scratch_size and not metadata.profile_scratch_size
        made.append(
            {
                "widths": widths,
                "triton": triton.__version__,
                "cubin": kernel.asm["cubin"],
                "entry": metadata.name,
                "shared": metadata.shared,
                "threads": 32 * metadata.num_warps,
                "block": plan.layout.block,
                "signature": {key: kind for key, kind in kernel.src.signature.items() if kind != "constexpr"},
            }
        )
    path.write_bytes(pickle.dumps(made))
    print(f"{path}: {len(made)} kernels of Triton {triton.__version__} for {gpu}")


def run(path: Path) -> None:
    """Print a line a network, `make`'s kernel beside that of the Triton that is installed."""
    for made in pickle.loads(path.read_bytes()):
        here, there = (first_call(made["widths"]) for _ in range(2))
        rates = [rate(here, here.launch), rate(there, lambda call=there, made=made: launch_cubin(call, made))]
        new, old = there.arguments["parameters"], here.arguments["parameters"]
        error = float((new - old).norm() / old.norm())
        print(
            f"{name(made['widths'])}: {rates[0] / 1e9:.4f} G/s by Triton {triton.__version__}, "
            f"{rates[1] / 1e9:.4f} by the cubin of {made['triton']}, parameters {error:.1e} apart",
            flush=True,
        )


def first_call(widths: tuple[int, ...]) -> Call:
    """The launch that is timed, all its steps in one."""
    before, launch.LAUNCH_SECONDS = launch.LAUNCH_SECONDS, 1e9
    try:
        return launch.first_call(timed(widths, NETWORKS[widths], STEPS, "cuda"))
    finally:
        launch.LAUNCH_SECONDS = before


def launch_cubin(call: Call, made: dict[str, Any]) -> None:
    """The call's arguments, given to the cubin in the order of its signature."""
    import cupy

    if "function" not in made:
        image = path_of(made["cubin"])
        made["function"] = cupy.RawModule(path=image).get_function(made["entry"])
        made["function"].max_dynamic_shared_size_bytes = made["shared"]
    arguments: list[Any] = []
    for key, kind in made["signature"].items():
        value = call.arguments[key]
        if isinstance(value, torch.Tensor):
            arguments.append(np.uint64(value.data_ptr()))
        else:
            arguments.append({"i32": np.int32, "i64": np.int64}[kind](value))
    arguments += [np.uint64(0)] * SCRATCH
    programs = -(-int(call.arguments["n_networks"]) // made["block"])
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)
    with stream:
        made["function"]((programs,), (made["threads"],), tuple(arguments), shared_mem=made["shared"])


def path_of(cubin: bytes) -> str:
    """The cubin in a file, which is what CuPy loads."""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".cubin", delete=False) as file:
        file.write(cubin)
    return file.name


def rate(call: Call, go: Any) -> float:
    """Network-steps a second, the best of three; the first launch also compiles or loads."""
    n = int(call.arguments["n_networks"])
    start = call.arguments["parameters"].clone()
    best = 0.0
    for _ in range(4):
        call.arguments["parameters"].copy_(start)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        go()
        end.record()
        torch.cuda.synchronize()
        best = max(best, n * STEPS / begin.elapsed_time(end) * 1e3)
    return best


def main(what: Literal["make", "run"], path: Path, /, gpu: str = "sm_90") -> None:
    """make: compile for `gpu` (needs none); run: measure on this machine's GPU (needs CuPy)."""
    if what == "make":
        make(path, gpu)
    else:
        run(path)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
