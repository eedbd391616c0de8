"""A GPU for which all of Triton is the real one: its driver and its launcher in C go to a library in the place of
NVIDIA's (libcuda.c), whose launches run the kernel's PTX on numpy (`tests.kernels.gpu.ptx`).

So a launch is tried to its end, with what the launcher makes of the arguments; that no thread waits for another, no
memory is another machine's and no stream is late, only a GPU can show.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
from torch import Tensor
from triton.backends.nvidia import driver as nvidia
from triton.compiler import CompiledKernel
from triton.runtime import build
from triton.runtime.driver import driver as drivers

from tests.kernels.gpu import ptx

SOURCE = Path(__file__).with_name("libcuda.c")
STREAM = 4321
MOST_SHARED, REGISTERS, PROCESSORS, WARP = 97, 12, 16, 10  # CUdevice_attribute of cuda.h
SIZES = {"u64": 8, "b64": 8, "u32": 4, "b32": 4, "f32": 4, "f64": 8}
CALLBACK = ctypes.CFUNCTYPE(
    None, ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint), ctypes.c_uint64, ctypes.POINTER(ctypes.c_void_p)
)
numbers = itertools.count()  # each GPU has its own, so that none has kernels of another


@dataclass
class Gpu:
    """What it was asked to launch: names of kernels, programs, threads, streams; the kernels; what went wrong."""

    launches: list[tuple[str, int, int, int]] = field(default_factory=list)
    kernels: list[CompiledKernel] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


@cache
def library() -> tuple[ctypes.CDLL, Path]:
    """The library, compiled, and its folder; once loaded, it is what a library that asks for libcuda.so.1 gets."""
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "libcuda.so.1"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(path), str(SOURCE)], check=True, timeout=60
    )
    (folder / "libcuda.so").symlink_to(path)  # by this name Triton 3.5 looks for it
    return ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL), folder


@contextmanager
def gpu(capability: tuple[int, int] = (8, 0), shared: int = 163 * 1024) -> Iterator[Gpu]:
    """A current GPU whose memory is the CPU's; shared: bytes of shared memory that a program may have."""
    from kernels.gpu import launch
    from kernels.gpu.calls import Call

    found, kernels, given, number = Gpu(), {}, [], next(numbers)
    real_init, real_call, real_options = CompiledKernel.__init__, nvidia.CudaLauncher.__call__, vars(Call)["options"]

    def init(kernel: CompiledKernel, *arguments: Any, **more: Any) -> None:
        real_init(kernel, *arguments, **more)
        kernels[ctypes.cast(kernel.kernel, ctypes.c_void_p).value] = kernel

    def call(launcher: Any, *arguments: Any) -> None:
        given.append(arguments)
        real_call(launcher, *arguments)

    def launched(function: int, shape: Any, stream: int, parameters: Any) -> None:
        try:
            found.launches.append((kernels[function].name, shape[0], shape[3], stream))
            found.kernels.append(kernels[function])
            _run(kernels[function], shape[0], parameters, given[-1])
        except BaseException as error:  # a callback from C raises nothing
            found.errors.append(error)

    (loaded, folder), callback = library(), CALLBACK(launched)
    loaded.on_launch(callback)
    for which, value in {MOST_SHARED: shared, REGISTERS: 2**16, PROCESSORS: 108, WARP: 32}.items():
        loaded.set_attribute(which, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_LIBCUDA_PATH", str(folder))
        _forget()
        patch.setattr(CompiledKernel, "__init__", init)
        patch.setattr(nvidia.CudaLauncher, "__call__", call)
        patch.setattr(Call, "options", property(lambda call: real_options.fget(call) | {"num_stages": 1}))
        patch.setattr(launch, "_moved", lambda problem, device: problem)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "current_device", lambda: number)
        patch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        patch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda device: STREAM, raising=False)
        patch.setattr(drivers, "_active", None)
        patch.setattr(drivers, "_default", None)
        yield found
    _forget()


def _forget() -> None:
    """What Triton remembers of the environment."""
    places = {nvidia: ("libcuda_dirs", "library_dirs"), build: ("_find_compiler",)}  # not all in every Triton
    for module, names in places.items():
        for name in names:
            remembered = getattr(module, name, None)
            if hasattr(remembered, "cache_clear"):
                remembered.cache_clear()


def _run(kernel: CompiledKernel, programs: int, parameters: Any, given: tuple[Any, ...]) -> None:
    """The kernel with the parameters that arrived, which must be what Python gave."""
    entry = re.search(r"\.entry\s+\w+\s*\(([^)]*)\)", re.sub(r"//[^\n]*", "", kernel.asm["ptx"]))
    sizes = [SIZES[re.search(r"\.param \.(\w+)", line)[1]] for line in entry[1].split(",")]
    arrived = [ctypes.string_at(parameters[k], size) for k, size in enumerate(sizes)]
    signature = kernel.src.signature
    pairs = zip(signature, given[-len(signature) :], strict=True)
    expected = [(name, value) for name, value in pairs if signature[name] != "constexpr"]
    for (name, value), size, found in zip(expected, sizes, arrived, strict=False):  # behind them: Triton's own
        number = value.data_ptr() if isinstance(value, Tensor) else value
        assert found == number.to_bytes(size, "little", signed=number < 0), name
        assert not isinstance(value, Tensor) or value.is_contiguous(), name
    arguments = [value.numpy() if isinstance(value, Tensor) else value for _, value in expected]
    ptx.run(kernel.asm["ptx"], arguments, programs, kernel.metadata.shared)
