"""What becomes of published claims when their counts and tables, and what we ran ourselves, are computed again."""

from ser_core.reexamination.arithmetic import attainable, least_loss, printed, unpaired_error
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
from ser_core.reexamination.deciding import STATED, STUDIES, decisive, from_sources
from ser_core.reexamination.judging import DECIDED, decided
from ser_core.reexamination.ours import from_runs
from ser_core.reexamination.tables import (
    best_of_many,
    in_standard_errors,
    rank_correlations,
    seed_bootstrap,
    transfer_gaps,
)

__all__ = [
    "BOOTSTRAPPED",
    "DECIDED",
    "STATED",
    "STUDIES",
    "attainable",
    "best_of_many",
    "constant_answers",
    "decided",
    "decisive",
    "exact_interval",
    "exact_recalls",
    "from_runs",
    "from_sources",
    "in_standard_errors",
    "least_loss",
    "merge_classes",
    "pool",
    "pooled_bootstrap",
    "printed",
    "rank_correlations",
    "seed_bootstrap",
    "transfer_gaps",
    "uar_all",
    "uar_conventions",
    "uar_seen",
    "unpaired_error",
]
