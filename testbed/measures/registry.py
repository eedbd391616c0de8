"""The measures and predictions that a study may ask for by name. A new one is a file, and a line here.

>>> MEASURES["disagreement"].columns[0].unit
'share'
"""

from __future__ import annotations

from testbed.kinds import Measure, Prediction
from testbed.measures import (
    bend,
    calibration,
    certified,
    convexity,
    disagreement,
    features,
    hessian,
    lemma_7,
    perturbation,
    predicted_expansion,
    predicted_population,
    predicted_training,
    predicted_twins,
    random_order,
    repair,
    star,
)

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        disagreement.MEASURE,
        hessian.MEASURE,
        perturbation.MEASURE,
        calibration.MEASURE,
        features.MEASURE,
        lemma_7.MEASURE,
        bend.MEASURE,
        star.MEASURE,
        convexity.MEASURE,
        repair.MEASURE,
        repair.MATCHED,
        certified.MEASURE,
        random_order.MEASURE,
    )
}
PREDICTIONS: dict[str, Prediction] = {
    prediction.name: prediction
    for prediction in (
        predicted_population.POPULATION,
        predicted_training.EXACT_TRAINING,
        predicted_twins.TWIN_STUDENTS,
        predicted_expansion.LAZY,
        predicted_expansion.QUADRATIC,
    )
}
