"""What published counts and tables say when they are computed again; the data are read by `ser_core.report`."""

from ser_core.reexamination.counts import (
    BOOTSTRAPPED,
    constant_answers,
    exact_interval,
    exact_recalls,
    merge_classes,
    pool,
    pooled_bootstrap,
    uar_all,
    uar_conventions,
    uar_seen,
)
from ser_core.reexamination.deciding import STUDIES, decisive
from ser_core.reexamination.tables import (
    best_of_many,
    in_standard_errors,
    rank_correlations,
    seed_bootstrap,
    transfer_gaps,
)

__all__ = [
    "BOOTSTRAPPED",
    "STUDIES",
    "best_of_many",
    "constant_answers",
    "decisive",
    "exact_interval",
    "exact_recalls",
    "in_standard_errors",
    "merge_classes",
    "pool",
    "pooled_bootstrap",
    "rank_correlations",
    "seed_bootstrap",
    "transfer_gaps",
    "uar_all",
    "uar_conventions",
    "uar_seen",
]
