"""What the command says before it does anything, and while it runs."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys

import pytest
from rich.console import Console

from testbed import memory, progress, run_study
from testbed.cli import main
from testbed.progress import Stages

NO_NETWORKS = [
    (["--help"], 0),
    (["run", "--help"], 0),
    (["studies"], 0),
    (["--version"], 0),
    (["fields"], 0),
    (["new", "--data", "teacher_student", "--vary", "architecture.hidden=8,32"], 0),
    (["run", "teacher_student", "--dry-run"], 0),  # theory's predictions
    (["run", "disentangle", "--dry-run"], 0),  # measures, alignments, components, a shift
    (["run", "lazy", "--dry-run"], 0),
    (["run", "teacher_student", "--set", "training.steps=-1"], 2),
    (["run", "teacher_student", "--set", "architecture.activation='square'"], 2),  # what a prediction lacks
    (["run", "teacher_student", "--set", "ensemble.families=10000000000"], 2),  # more than there is memory for
    (["report", "nowhere"], 2),
    (["compare", "nowhere", "nowhere"], 2),
    (["verify", "nowhere"], 2),
]


@pytest.mark.parametrize(("arguments", "code"), NO_NETWORKS, ids=[" ".join(case[0]) for case in NO_NETWORKS])
def test_what_needs_no_networks_imports_no_torch(arguments, code, tmp_path):
    program = (
        "import sys; from testbed.cli import main\n"
        f"try: main({arguments})\n"
        f"except SystemExit as end: assert (end.code or 0) == {code}, end\n"
        f"else: assert not {code}\n"
        "finally: print({'torch', 'polars', 'scipy', 'matplotlib', 'sympy'} & set(sys.modules), file=sys.stderr)"
    )
    # where no demo has run: its folder would be read
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    said = done.stderr.splitlines()
    assert done.returncode == 0 and said[-1] == "set()", done.stderr
    assert (len(said) > 1) == (code == 2)


def test_a_terminal_without_greek_sees_question_marks():
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "fields", "measure"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "(an odd one holds ? = ?)" in done.stdout


@pytest.mark.parametrize("closed", ["0", "1", "2", "1 2"])
def test_streams_that_a_scheduler_closed_are_no_error(closed):
    """As `testbed studies >&-` has it."""
    closing = " ".join(f"exec {stream}>&-;" for stream in closed.split())
    command = f"{closing} {sys.executable} -m testbed"
    assert subprocess.run(["bash", "-c", f"{command} studies"]).returncode == 0
    assert subprocess.run(["bash", "-c", f"{command} run nowhere.toml"]).returncode == 2


@pytest.mark.parametrize("asked", [None, "active"])
def test_threads_that_wait_do_not_spin_unless_they_are_told_to(asked):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    program = (
        "import os; from testbed.cli import main\n"
        "try: main(['--version'])\n"
        "finally: print(os.environ['OMP_WAIT_POLICY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | ({} if asked is None else {"OMP_WAIT_POLICY": asked}),
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == (asked or "passive")


def test_the_version_is_that_of_the_distribution(capsys):
    main(["--version"])
    assert capsys.readouterr().out.startswith("lmc-testbed 0.")


def test_a_dry_run_says_what_a_run_would_be(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["run", "teacher_student", "--dry-run"])
    said = capsys.readouterr().out
    assert "2,160, in 6 launches" in said
    assert "10,320" in said
    assert not list(tmp_path.iterdir())


def test_lines_stand_in_a_pipe_and_none_where_nobody_asked(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    for shown in (True, False):
        out = io.StringIO()
        with Stages(Console(file=out), shown) as stages:
            stages.add("networks", 2000)
            stages.add("pairs", 10)
            stages.advance("networks", 1500)
            stages.set("pairs", 3)
        lines = "testbed: networks 1,500 of 2,000, pairs 0 of 10\ntestbed: networks 1,500 of 2,000, pairs 3 of 10\n"
        assert out.getvalue() == (lines if shown else "")


def test_bars_stand_in_a_terminal():
    out = io.StringIO()
    with Stages(Console(file=out, force_terminal=True, width=100), shown=True) as stages:
        stages.add("pairs", 10)
        stages.advance("pairs", 10)
    assert "10/10" in out.getvalue()
    assert "testbed:" not in out.getvalue()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_every_shell(shell, capsys):
    with pytest.raises(SystemExit) as end:
        main(["completion", shell])
    said = capsys.readouterr().out
    assert not end.value.code and "testbed" in said and "gallery" in said and "--dry-run" in said


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed on this machine")
def test_bash_completes_commands(tmp_path):
    script = subprocess.run(
        [sys.executable, "-m", "testbed", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "completion").write_text(script)
    asked = (
        f"source {tmp_path / 'completion'}; COMP_WORDS=(testbed ga); COMP_CWORD=1; COMP_LINE='testbed ga'; "
        "COMP_POINT=10; function=$(complete -p testbed | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        "$function testbed ga testbed; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
    assert done.stdout.split() == ["gallery"], done.stderr


@pytest.mark.parametrize(
    ("name", "said"), [("teacher_studnet", "Did you mean 'teacher_student'"), ("broken.toml", "is not TOML")]
)
def test_what_is_wrong_with_the_file_is_said_before_torch_is_loaded(name, said, tmp_path):
    (tmp_path / "broken.toml").write_text("question = \n")
    study = str(tmp_path / name) if name.endswith(".toml") else name
    program = (
        "import sys; from testbed.cli import main\n"
        f"try: main(['run', {study!r}])\n"
        "except SystemExit as end: assert end.code == 2, end\n"
        "print({'torch', 'polars', 'scipy', 'matplotlib', 'sympy', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said in done.stderr and done.stdout == "set()\n"


def test_a_finished_run_gets_its_page_also_where_its_study_would_be_too_large(study, tmp_path, no_figures, monkeypatch):
    report = run_study(study(), tmp_path / "run")
    report.unlink()
    monkeypatch.setattr(memory, "limit", lambda: 1)
    main(["run", str(tmp_path / "run" / "study.toml"), "--out", str(tmp_path / "run")])
    assert report.exists()
