"""Arrays in, result objects out; every figure with its interval, every method with its paper."""

from hilum.statistics.bootstrap import (
    Interval,
    auc_of_counts,
    clustered_bootstrap,
    counts_bootstrap,
    macro_auc_of_counts,
)
from hilum.statistics.calibration import PlattScaling, Reliability, ReliabilityBin, platt, reliability
from hilum.statistics.proportions import Proportion, wilson
from hilum.statistics.roc import AucEstimate, PairedAuc, auc, paired_auc
from hilum.statistics.thresholds import (
    MINIMUM_POSITIVES,
    OperatingPoint,
    PurposeThresholds,
    at_sensitivity,
    at_specificity,
    choose_thresholds,
    maximum_f1,
    maximum_youden,
    operating_point,
)

__all__ = [
    "MINIMUM_POSITIVES",
    "AucEstimate",
    "Interval",
    "OperatingPoint",
    "PairedAuc",
    "PlattScaling",
    "Proportion",
    "PurposeThresholds",
    "Reliability",
    "ReliabilityBin",
    "at_sensitivity",
    "at_specificity",
    "auc",
    "auc_of_counts",
    "choose_thresholds",
    "clustered_bootstrap",
    "counts_bootstrap",
    "macro_auc_of_counts",
    "maximum_f1",
    "maximum_youden",
    "operating_point",
    "paired_auc",
    "platt",
    "reliability",
    "wilson",
]
