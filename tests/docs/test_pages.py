"""Every command and every piece of Python in README.md and docs/ runs, every link leads somewhere.

Commands stand in ```sh blocks (in older pages: indented), Python in ```python blocks. What cannot be run here says so
to its reader: `# not run here: …` in its line, or in the first line of its block.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from markdown_it import MarkdownIt

from testbed import cli
from testbed.study.study import KEYS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NOT_RUN = "# not run here:"
COMMANDS = ("testbed", "python", "make", "pip", "source")
ELSEWHERE = {  # commands that other tests run, or that this machine cannot, by how they begin
    "python -m kernels.gpu.doctor": "it needs a GPU",
    "testbed run disentangle --scale 100": "for a GPU's machine: it needs 39 GiB, and says so on a smaller one",
    "testbed run STUDY --cluster": "tests/testbed/ensemble/test_cluster.py runs a study on a cluster",
}
ON_A_GPU = (
    "python -m kernels.gpu.doctor",
    "testbed doctor --gpu",
)  # minutes there; elsewhere they say that there is none
INSTEAD = {  # what is run in the place of what takes longer, or writes into docs/
    "python benchmarks/findings.py": f"python {ROOT}/benchmarks/findings.py --quick --only width",
    "python benchmarks/theory_figures.py": f"python {ROOT}/benchmarks/theory_figures.py --out .",
}
SAME = {"steps=1000": "steps=20", 'backend="native"': 'backend="auto"'}  # shorter, and without a C++ compiler
MASKED = re.compile(r"-?\d[\d,.e+-]*")


@dataclass(frozen=True)
class Snippet:
    """A block of a page: its language, its text, and the line where it begins."""

    language: str
    text: str
    line: int


def snippets(page: Path) -> list[Snippet]:
    """The blocks of a page, in their order; of indented ones those that begin with a command."""
    found = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence":
            found.append(Snippet(token.info.strip(), token.content, line))
        elif token.type == "code_block" and token.content.split()[0] in COMMANDS:
            found.append(Snippet("sh", token.content, line))
    return found


def commands(snippet: Snippet) -> list[str]:
    """The commands of a block that are run here, without their comments."""
    text = snippet.text.replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    lines = [line for line in lines if NOT_RUN not in line and line.split()[0] in COMMANDS]
    lines = [line.partition("  #")[0].strip() for line in lines]
    not_here = (*ELSEWHERE, *ON_A_GPU) if torch.cuda.is_available() else tuple(ELSEWHERE)
    return [INSTEAD.get(line, line) for line in lines if not line.startswith(not_here)]


def run(command: str, quick: bool) -> None:
    """Run one command; `testbed` in this process, of `make` what it would do.

    quick: studies are shrunk, into the folder that they would have.
    """
    words = shlex.split(command)
    if words[0] == "make":  # this may run under make; tests/test_house.py runs the demo in small
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, env=outside, check=True, stdout=subprocess.DEVNULL)
        return
    if words[0] != "testbed":
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable if words[0] == "python" else words[0], *words[1:]], env=environment, check=True)
        return
    if quick and words[1] == "run" and not {"--quick", "--dry-run"} & set(words):
        words += ["--quick", "--out", f"runs/{Path(words[2]).stem}"]
    cli.main(words[1:])


def run_page(page: Path, quick: bool, capsys) -> tuple[dict, str]:
    """Run all of a page in the current folder: what its Python left, and what its commands printed."""
    scope: dict = {}
    printed = ""
    for snippet in snippets(page):
        if snippet.language == "sh":
            for command in commands(snippet):
                run(command, quick)
                printed += capsys.readouterr().out
        elif snippet.language == "python" and not snippet.text.startswith((NOT_RUN, "# kernels/", "# testbed/")):
            text = snippet.text
            for long, short in SAME.items():
                text = text.replace(long, short)
            exec(compile("\n" * snippet.line + text, str(page), "exec"), scope)  # tracebacks name the page's own lines
    return scope, printed


SLOW = ("findings.md", "theory.md")
TO_RUN = [
    pytest.param(page, id=page.name, marks=[pytest.mark.slow] if page.name in SLOW else [])
    for page in PAGES
    if page.name != "extending.md" and any(snippet.language in ("sh", "python") for snippet in snippets(page))
]  # what extending.md adds, test_extending.py adds


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("page", TO_RUN)
def test_what_a_page_says_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope, _ = run_page(page, True, capsys)
    if page.name == "README.md":
        check_the_python_of_the_readme(scope)


def check_the_python_of_the_readme(scope: dict) -> None:
    """The shapes that its comments promise; and the exact barrier is that of the grid, or a little more."""
    assert scope["run"].params.shape == (1024, 65) and scope["curves"].loss.shape == (512, 25)
    grid = scope["curves"].loss
    chord = torch.lerp(grid[:, :1], grid[:, -1:], scope["curves"].alphas)
    measured = (grid - chord).amax(1).numpy()
    exact = scope["exact"].barriers["linear"].value
    assert (exact >= measured - 1e-12).all() and (exact - measured).max() < 0.05 * exact.max()


@pytest.mark.slow
def test_the_tutorial_prints_what_it_says(tmp_path, monkeypatch, capsys):
    """Unshrunk, with figures; numbers depend on the machine's vectors, words do not."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "tutorial.md"
    _, printed = run_page(page, False, capsys)
    lines = {MASKED.sub("#", line.strip()) for line in printed.splitlines()}
    texts = [snippet.text.replace("\n  ", " ") for snippet in snippets(page) if snippet.language == "text"]
    said = [line for text in texts for line in text.splitlines()]
    assert len(said) >= 6
    for line in said:
        assert MASKED.sub("#", line.strip()) in lines, line
    assert (tmp_path / "runs" / "index.html").stat().st_size > 10_000
    assert "higher" not in printed.partition("B is")[2].partition("A alone")[0]  # every row: cannot tell


def test_pages_say_what_is_not_run():
    """It is rare, says why, and what is listed as run elsewhere stands in some page."""
    every = [(page, snippet) for page in PAGES for snippet in snippets(page)]
    languages = {snippet.language for _, snippet in every}
    known = {"sh", "python", "text", "toml", "cpp", "{toctree}"}
    assert languages <= known, "a block without a language is nobody's to run"
    marked = [line for _, snippet in every for line in snippet.text.splitlines() if NOT_RUN in line]
    assert all(len(line.partition(NOT_RUN)[2]) > 10 for line in marked)
    n_run = sum(len(commands(snippet)) for _, snippet in every if snippet.language == "sh")
    assert len(marked) < n_run / 4
    text = "\n".join(snippet.text for _, snippet in every)
    assert all(re.search(rf"^\s*{re.escape(start)}", text, re.MULTILINE) for start in (*ELSEWHERE, *ON_A_GPU, *INSTEAD))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        where = (page.parent / path).resolve() if path else page
        assert where.exists(), target
        if anchor and where.suffix == ".md":
            assert anchor in anchors(where), target


def test_the_page_of_factors_is_what_its_script_writes():
    script = ROOT / "docs" / "factors.py"
    spec = importlib.util.spec_from_file_location("factors", script)
    assert spec is not None and spec.loader is not None
    factors = importlib.util.module_from_spec(spec)
    sys.modules["factors"] = factors
    spec.loader.exec_module(factors)
    assert (ROOT / "docs" / "factors.md").read_text(encoding="utf-8") == factors.page(), "run python docs/factors.py"


def test_fields_of_the_glossary_exist():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    tables = "data|architecture|training|ensemble|measure"
    named = set(re.findall(rf"`((?:{tables})\.[\w.]+)`", text))
    assert len(named) > 5 and named <= KEYS
