"""Distribution lmc-testbed: packages kernels, theory and testbed, the command `testbed`, and the native kernel.

The kernel is built if a C++ compiler is found. It is a shared library with a plain C interface: building it needs g++
(or clang++) and no Python headers.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

NATIVE = Path("kernels/native")
# contraction is off because every fused multiply-add is written out: a lane's bits do not depend on the template it
# ran in
FLAGS = ["-O3", "-g0", "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
# gcc 12 warns of the deliberately undefined operand inside its own square-root intrinsic
FLAGS += ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]
# under sanitizers: AddressSanitizer by calls instead of code in line, and not again by UBSan what it reports or the
# processor does, or else a source of training takes a core more than twelve minutes instead of four
WATCHED = ["-fno-sanitize-recover=all", "-fno-sanitize=null,alignment,object-size", "-O1", "-g1"]
WATCHED += ["--param=asan-instrumentation-with-call-threshold=0"]


# by the library's name, the instruction set that it is compiled for
MARCHES = {
    "kernels.native._native" + ("" if march == "native" else f"_{march.replace('-', '_')}"): march
    for march in os.environ.get("LMC_MARCH", "native").split(",")
}


class BuildNative(build_ext):
    """Compiles for this machine's own instruction set, one source a core at a time.

    LMC_MARCH names another instruction set, for a wheel that has to run elsewhere, or several: of
    LMC_MARCH=x86-64,x86-64-v3,x86-64-v4 each becomes a library, and the widest that a machine has runs there (or that
    which LMC_NATIVE names when it runs).
    LMC_SANITIZE names sanitizers of the compiler, such as address,undefined or thread, that watch the kernel run
    (`make sanitize`).
    """

    def get_ext_filename(self, fullname: str) -> str:
        """The library's file, whose name says of no Python that it was built by it."""
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Compile the extension with the flags this compiler has."""
        march = MARCHES[ext.name]
        sanitizers = os.environ.get("LMC_SANITIZE")
        watch = [f"-fsanitize={sanitizers}", *WATCHED] if sanitizers else []
        flags = [*FLAGS, f"-march={march}", "-pthread", *watch]
        ext.extra_compile_args = [flag for flag in flags if self._accepts(flag)]
        ext.extra_link_args = [flag for flag in ["-pthread", *watch] if self._accepts(flag)]
        compile_one_after_the_other = self.compiler.compile

        def compile_side_by_side(sources: Sequence[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda source: compile_one_after_the_other([source], **options), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = compile_side_by_side
        super().build_extension(ext)

    def _accepts(self, flag: str) -> bool:
        compiler = getattr(self.compiler, "compiler_so_cxx", None) or self.compiler.compiler_so
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "empty.cpp")
            source.write_text("int main() { return 0; }\n")
            command = [compiler[0], "-Werror", flag, "-c", str(source), "-o", str(source.with_suffix(".o"))]
            try:
                return subprocess.run(command, capture_output=True, check=False).returncode == 0
            except OSError:
                return False


class WheelOfEveryPython(bdist_wheel):
    """A wheel for every Python of one platform: the compiled library knows none of Python's headers."""

    def get_tag(self) -> tuple[str, str, str]:
        """Interpreter, its binary interface, and platform, of which only the last matters."""
        return "py3", "none", super().get_tag()[2]


# torch for CUDA brings Triton, torch for CPUs does not; kernels.gpu compiles (and interprets) without a GPU. The
# range is that of the line TRITON in kernels/gpu/__init__.py, which refuses others with a sentence.
SAYS = Path("kernels/gpu/__init__.py").read_text(encoding="utf-8")
OLDEST, UNKNOWN = re.findall(r'^TRITON = \("(.+)", "(.+)"\)', SAYS, re.MULTILINE)[0]
GPU = f"triton>={OLDEST},<{UNKNOWN}; platform_system == 'Linux'"
CLUSTER = ["dask-jobqueue>=0.9", "distributed>=2024.1"]

setup(
    name="lmc-testbed",
    version="0.1.0",
    description="Linear mode connectivity in minimal settings: massive ensembles of tiny networks, beside exact theory",
    long_description=Path("README.md").read_text(encoding="utf-8") if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["kernels*", "theory*", "testbed*"]),
    package_data={
        "kernels.native": ["*.h", "*.cpp"],
        "theory": ["*.pyi"],
        "testbed": ["*.pyi", "studies/*.toml"],
        "testbed.report": ["*.mplstyle", "templates/*"],
    },
    ext_modules=[
        Extension(
            name,
            sources=[str(path) for path in sorted(NATIVE.glob("*.cpp"))],
            depends=[str(path) for path in sorted(NATIVE.glob("*.h"))],
            language="c++",
            optional=True,
        )
        for name in MARCHES
    ],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": WheelOfEveryPython},
    install_requires=[
        "jaxtyping>=0.2.30",
        "jinja2>=3.1",
        "lazy-loader>=0.4",
        "loky>=3.4",
        "matplotlib>=3.8",
        "mpmath>=1.3",
        "numpy>=2.0",
        "polars>=1.30",
        "psutil>=5.9",  # loky ends its processes with it, or else with pgrep, which small containers lack
        "pydantic>=2.7",
        "rich>=13",
        "safetensors>=0.4",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "sympy>=1.12",
        "tomli-w>=1.0",
        "tomli>=2; python_version < '3.11'",
        "torch>=2.4",
        "tyro>=0.9",
    ],
    extras_require={
        "cluster": CLUSTER,
        "gpu": [GPU],
        "test": [
            GPU,
            *CLUSTER,
            "filelock>=3",
            "hypothesis>=6.100",
            "markdown-it-py>=3",
            "mypy>=1.10",
            "pandas>=2",
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
        ],
        "docs": ["furo>=2025.7", "myst-parser>=4.0", "sphinx>=8.1"],  # `make docs`
        "page": ["axe-playwright-python>=0.1.4", "playwright>=1.40"],  # try the page in a browser
        "peers": ["jax>=0.4.30"],
    },
    entry_points={"console_scripts": ["testbed = testbed.cli:main"]},
)
