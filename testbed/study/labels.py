"""Factors as axes, tables and questions name them; one that is not here goes by its dotted key."""

from __future__ import annotations

LABELS = {
    "architecture.hidden": "hidden width (units)",
    "architecture.activation": "activation",
    "architecture.scale": "scale of the initial weights",
    "ensemble.spawn_step": "split step (parameter updates)",
    "training.optimizer.kind": "optimizer",
    "training.optimizer.lr": "learning rate",
    "training.optimizer.momentum": "momentum",
    "training.optimizer.weight_decay": "weight decay",
    "training.batch_size": "batch size (samples)",
    "training.steps": "training steps",
    "training.snapshot": "training time (parameter updates)",
    "data.kind": "kind of data",
    "data.n_train": "training samples",
    "data.inputs": "inputs d",
    "data.noise": "noise",
    "data.label_noise": "share of random labels",
    "data.separation": "separation of the classes",
    "data.shared": "share of training samples in common",
    "architecture.density": "density (share of the weights)",
    "architecture.connectivity": "first layer",
    "training.frozen": "share of the weights frozen",
    "component": "component",
}
PER_INPUT = {  # training.clock = "inputs"
    "ensemble.spawn_step": "split time (updates / inputs)",
    "training.steps": "training time (updates / inputs)",
    "training.snapshot": "training time (updates / inputs)",
    "training.optimizer.lr": "learning rate × inputs",
}
