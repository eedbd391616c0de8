"""Writes docs/factors.md: for each factor what it is, a command that varies it, and what was found.

    python docs/factors.py

Types and defaults come from `testbed fields`, so that the page cannot fall behind; a test holds it to this script, and
another runs its commands.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testbed.study import fields

PAGE = Path(__file__).with_name("factors.md")
HEAD = """# How to vary one thing

<!-- Written by docs/factors.py: change that, and run it. -->

Each command below writes a study; `testbed run FILE --quick` tries it in seconds, `testbed run FILE` answers it.
Several `--vary` make every combination a cell, and `--vary data.seed=0,1,2,3,4,5` lets any answer speak of more than
one data set. Types and defaults are those of `testbed fields`; *found* says where in [findings.md](findings.md) the
factor varied, on data of its own.

| factor | field | type | default | found |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True)
class Factor:
    """One factor: its name, the field, values to try, what it is, and the section of findings.md where it varied.

    found: empty where no study of the findings varies it. data: the family to try it on. settings: what else the study
    needs.
    """

    name: str
    field: str
    values: str
    text: str
    found: str
    data: str = "gaussian_mixture"
    settings: tuple[str, ...] = ()


FACTORS = {
    "Architecture": [
        Factor("Width", "architecture.hidden", "2,8,32,128", "Units of the hidden layer.", "Width and depth"),
        Factor(
            "Depth",
            "architecture.hidden",
            "[32],[32,32],[32,32,32]",
            "One number for each hidden layer; widths and depths in one list are two questions on the page.",
            "Width and depth",
        ),
        Factor(
            "Activation",
            "architecture.activation",
            "relu,tanh,gelu",
            "σ of every hidden unit.",
            "One component at a time",
        ),
        Factor(
            "Size of the initial weights",
            "architecture.scale",
            "0.1,1.0,4.0",
            "The initial weights times this: small starts learn features, large ones hardly move.",
            "Double descent in width",
        ),
        Factor(
            "Residual connections",
            "architecture.residual",
            "false,true",
            "Every hidden layer but the first adds its input.",
            "One component at a time",
            settings=("architecture.hidden=[32,32,32]",),
        ),
        Factor(
            "Normalisation",
            "architecture.normalise",
            "false,true",
            "Layer normalisation before every activation.",
            "One component at a time",
        ),
        Factor(
            "Sparsity",
            "architecture.density",
            "0.2,0.5,1.0",
            "Share of the weights that exist; `architecture.mask` says whether networks share the mask.",
            "Sparsity",
            settings=("architecture.mask=shared",),
        ),
        Factor(
            "Pruning",
            "architecture.pruning.density",
            "0.1,0.3,0.6",
            "Share of the weights that magnitude pruning leaves, with rewinding.",
            "Sparsity",
        ),
        Factor(
            "Locality and weight sharing",
            "architecture.connectivity",
            "full,random,local,convolutional",
            "What a unit of the first layer sees.",
            "Sparsity and weight sharing told apart",
            settings=("architecture.receptive_field=4", "architecture.stride=4"),
        ),
    ],
    "Training": [
        Factor("Learning rate", "training.optimizer.lr", "0.005,0.05,0.5", "η.", "Learning rate and batch size"),
        Factor(
            "Optimizer",
            "training.optimizer.kind",
            "sgd,adam",
            "With the same learning rate and weight decay; each has its own defaults of all else.",
            "One component at a time",
        ),
        Factor("Momentum", "training.optimizer.momentum", "0.0,0.9", "μ, of SGD.", "One component at a time"),
        Factor(
            "Weight decay",
            "training.optimizer.weight_decay",
            "0.0,0.001,0.01",
            "λ. Read the loss at the ends beside the barrier: the [tutorial](tutorial.md) shows why.",
            "One component at a time",
        ),
        Factor(
            "Batch size",
            "training.batch_size",
            "8,32,128,512",
            "Samples a step; as many as there are is full-batch descent, in which siblings do not differ.",
            "Learning rate and batch size",
        ),
        Factor(
            "Schedule of the rate",
            "training.schedule.kind",
            "constant,cosine",
            "With `training.schedule.warmup_steps` for a warm-up.",
            "When siblings split",
        ),
        Factor(
            "Training time",
            "training.steps",
            "0,100,1000,4000",
            "Updates of the parameters; 0 compares networks as they are initialised.",
            "Weight matching in the course of training",
        ),
        Factor(
            "Time of the measurement",
            "training.snapshot",
            "100,1000,4000",
            "The same networks after so many of their steps; one training serves all of these cells.",
            "",
        ),
        Factor(
            "Label smoothing",
            "training.label_smoothing",
            "0.0,0.1,0.2",
            "Share of a label that is spread over all classes.",
            "One component at a time",
        ),
        Factor(
            "Frozen weights",
            "training.frozen",
            "0.0,0.5",
            "Share of each layer's weights that keep their initial values.",
            "Sparsity",
        ),
        Factor(
            "Rates of layers",
            "training.layer_rates",
            "[1.0,1.0],[0.125,1.0]",
            "A factor of the learning rate for each affine layer, the first of them being the layer on the inputs.",
            "Sparsity and weight sharing told apart",
        ),
        Factor(
            "Split of siblings",
            "ensemble.spawn_step",
            "0,100,1000",
            "The step from which siblings see their samples in orders of their own.",
            "When siblings split",
        ),
    ],
    "Data": [
        Factor(
            "Kind of data",
            "data.kind",
            "spirals,moons,circles",
            "What the kinds have in common, such as noise, is in every cell as `[data]` has it, by default that of its "
            "own kind. Kinds that ask for other fields are components of a study, as in `disentangle`.",
            "One component at a time",
            data="spirals",
        ),
        Factor("Number of samples", "data.n_train", "64,512,4096", "Training samples.", "One component at a time"),
        Factor("Number of inputs", "data.inputs", "2,8,32", "Numbers in a sample.", "One component at a time"),
        Factor(
            "Noise in the labels",
            "data.label_noise",
            "0.0,0.2,1.0",
            "Share of the training labels that are drawn anew.",
            "Difficulty of the data",
        ),
        Factor(
            "Separation of the classes",
            "data.separation",
            "1.0,3.0,5.0",
            "Distance of the classes' means from the origin.",
            "Difficulty of the data",
        ),
        Factor(
            "Samples in common",
            "data.shared",
            "0.0,0.5,1.0",
            "Share of the training samples that all networks have in common.",
            "One component at a time",
        ),
        Factor(
            "Covariate shift",
            "data.shift",
            "0.0,1.0,3.0",
            "How far the two ends of a pair see different sides of the inputs.",
            "One component at a time",
        ),
        Factor(
            "Noise of a teacher",
            "data.noise",
            "0.0,0.3",
            "Standard deviation of what is added to the teacher's labels.",
            "",
            data="teacher_student",
        ),
    ],
}


def rows() -> dict[str, tuple[str, str]]:
    """Type and default of every field, by its dotted key."""
    found: dict[str, tuple[str, str]] = {}
    for table in [*fields.described("data.task"), *fields.described()]:  # where they differ, of classes
        for name, of_type, default in table.rows:
            found.setdefault(f"{table.key}.{name}" if table.key else name, (of_type, default))
        if table.kind:
            found.setdefault(f"{table.key}.kind", (f"`testbed fields {table.key}` has them", "needed"))
    return found


def command(factor: Factor) -> str:
    """The command that writes a study of this factor."""
    words = ["testbed new", f"{slug(factor.name)}.toml", f"--data {factor.data}"]
    words.append(f"--vary {quoted(f'{factor.field}={factor.values}')}")
    words += [f"--set {quoted(setting)}" for setting in factor.settings]
    return " ".join(words)


def quoted(text: str) -> str:
    """An argument, in quotes where a shell would read brackets."""
    return f"'{text}'" if "[" in text else text


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return "".join(letter for letter in heading.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


def page() -> str:
    """The page."""
    known = rows()
    lines = [HEAD.rstrip()]
    for factor in [factor for factors in FACTORS.values() for factor in factors]:
        of_type, default = known[factor.field]
        found = f"[found]({link(factor)})" if factor.found else "not asked yet"
        name = f"[{factor.name}](#{slug(factor.name)})"
        lines.append(f"| {name} | `{factor.field}` | {of_type.replace('|', 'or')} | {default} | {found} |")
    for group, factors in FACTORS.items():
        lines += ["", f"## {group}"]
        for factor in factors:
            found = f" Found: [{factor.found}]({link(factor)})." if factor.found else ""
            lines += ["", f"### {factor.name}", "", factor.text + found, "", "```sh", command(factor), "```"]
    return "\n".join([*lines, ""])


def link(factor: Factor) -> str:
    """Where it was found what a factor does."""
    return f"findings.md#{slug(factor.found)}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
