"""Problems that reach every kernel, layout, batch mode, precision and option that changes what a kernel is given or
compiled to.
"""

from __future__ import annotations

import torch

from kernels import SGD, Adam, AdamW, Architecture, Training
from kernels.problem import training_problem
from tests.kernels.problems import data, paths, problem

SINGLE, DOUBLE = torch.float32, torch.float64
TEACHER = Architecture((2, 3, 1), "tanh")

# A case begins with the name of its layout. 33 samples: no power of two, so that no turn of a loop comes out even.
TRAINING = {
    "lanes, full": {"widths": (2, 16, 1)},
    "lanes, epoch, adamw, masked": {"widths": (2, 3, 4, 2), "batch": "epoch", "optimizer": "adamw", "masked": True},
    "lanes, replacement, momentum, float64": {
        **{"widths": (3, 5, 2), "batch": "replacement", "optimizer": "momentum", "dtype": DOUBLE},
        **{"activation": "leaky_relu"},
    },
    "lanes, online, nesterov, two teachers": {
        **{"widths": (2, 3, 1), "batch": "online", "optimizer": "nesterov", "n_datasets": 2, "activation": "silu"},
    },
    "lanes, group, two data sets": {"widths": (8, 16, 1), "n_datasets": 2},
    "lanes, without biases": {"widths": (2, 4, 1), "biases": False, "activation": "leaky_relu"},
    "lanes, gelu": {"widths": (2, 3, 2), "activation": "gelu"},
    "tiles, full": {"widths": (2, 32, 20, 1)},
    "tiles, one turn": {"widths": (2, 32, 32, 1), "n_samples": 15},
    "tiles, four warps": {"widths": (3, 64, 50, 1)},
    "tiles, four warps, two outputs": {"widths": (4, 64, 64, 16, 2)},
    "tiles, four warps, classes online": {
        **{"widths": (3, 64, 64, 3), "batch": "online", "loss": "cross_entropy", "n_datasets": 2},
    },
    "tiles, three layers, two warps": {"widths": (5, 20, 33, 17, 2), "activation": "tanh"},
    "tiles, epoch, adam": {"widths": (2, 20, 17, 2), "batch": "epoch", "optimizer": "adam", "loss": "cross_entropy"},
    "tiles, replacement, float64": {
        **{"widths": (2, 17, 18, 1), "batch": "replacement", "dtype": DOUBLE, "activation": "tanh"},
    },
    "tiles, online, masked": {"widths": (2, 33, 17, 1), "batch": "online", "masked": True, "n_datasets": 2},
    "tiles, wide": {"widths": (40, 64, 17, 2)},
    "tiles, wide, without biases": {"widths": (50, 16, 1), "biases": False, "activation": "square"},
    "tiles, online, many inputs": {"widths": (12, 64, 64, 2), "batch": "online", "n_datasets": 2},
    "tiles, wide, replacement, classes": {
        **{"widths": (64, 128, 10), "batch": "replacement", "loss": "cross_entropy", "n_datasets": 2},
    },
    "tiles, wide, epoch, adam, masked": {"widths": (34, 20, 2), "batch": "epoch", "optimizer": "adam", "masked": True},
    "memory, full": {"widths": (40, 20, 33)},
    "memory, epoch, sgd with decay": {"widths": (34, 20, 17, 33), "batch": "epoch", "optimizer": "sgd"},
    "memory, replacement, float64": {"widths": (40, 5, 1), "batch": "replacement", "dtype": DOUBLE},
    "memory, without eps": {"widths": (3, 5, 2), "optimizer": "adam without eps", "activation": "tanh"},
    "memory, online": {"widths": (34, 6, 1), "batch": "online", "batch_size": 3, "optimizer": "adam"},
}
PATHS = {
    "lanes, paths, float64": {"widths": (2, 16, 1), "dtype": DOUBLE},
    "lanes, paths of classes": {"widths": (2, 5, 3), "loss": "cross_entropy", "dtype": SINGLE, "n_datasets": 2},
    "lanes, paths of a teacher": {"widths": (2, 3, 1), "teacher": TEACHER},
    "tiles, paths": {"widths": (2, 32, 32, 1), "dtype": SINGLE},
    "tiles, paths, four warps": {"widths": (3, 64, 50, 2), "dtype": SINGLE, "n_samples": 65},
    "tiles, paths, float64": {"widths": (2, 17, 18, 2), "dtype": DOUBLE},
    "tiles, wide, paths": {"widths": (40, 20, 2), "dtype": SINGLE, "loss": "cross_entropy", "n_datasets": 2},
    "memory, paths": {"widths": (130, 20, 2), "dtype": SINGLE, "loss": "cross_entropy"},
    "memory, paths, float64": {"widths": (40, 6, 1), "dtype": DOUBLE, "n_datasets": 2},
}
SETTINGS = {
    "memory, every setting": (Adam(0.1, eps=1e-3, weight_decay=0.1), "cross_entropy"),
    "memory, every setting, adamw": (AdamW(0.1, eps=1e-6), "mse"),
    "memory, every setting, momentum": (SGD(0.1, momentum=0.9), "mse"),
}
CASES = (*TRAINING, *PATHS, *SETTINGS)


def make(case: str, n: int = 37, steps: int = 20):
    """The problem of a case, of n networks and so many steps, or of n pairs."""
    if case in TRAINING:
        return problem(**{"dtype": SINGLE, "n_samples": 33, "n": n, "steps": steps} | TRAINING[case])
    if case in PATHS:
        return paths(**{"n_samples": 33, "n": n} | PATHS[case])
    optimizer, loss = SETTINGS[case]
    architecture = Architecture((3, 20, 20, 2), "tanh", normalise=True, residual=True)
    settings = Training(
        steps=steps,
        optimizer=optimizer,
        loss=loss,
        batch_size=16,
        label_smoothing=0.1 if loss == "cross_entropy" else 0.0,
        clip_norm=1.0,
        stop_below=0.1,
        layer_rates=(0.5, 0.5, 0.5) if isinstance(optimizer, Adam) else (),
    )
    pairs = torch.arange(architecture.n_parameters) // 2
    chance = torch.rand(2, architecture.n_parameters, generator=torch.Generator().manual_seed(0))[:, pairs]
    return training_problem(
        architecture,
        architecture.initial(n),
        data(architecture, loss, 33),
        settings,
        mask=chance[0] > 0.2,
        trainable=chance[1] > 0.2,
        tied=pairs,
    )
