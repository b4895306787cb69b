"""What becomes of published claims when their counts and tables, and what we ran ourselves, are computed again."""

from ser_core.book.literature.arithmetic import attainable, least_loss, printed, unpaired_error
from ser_core.book.literature.claims import SOURCES, TOPICS, VERDICTS, ledger
from ser_core.book.literature.counts import (
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
from ser_core.book.literature.deciding import STATED, STUDIES, decisive, from_sources
from ser_core.book.literature.judging import DECIDED, decided
from ser_core.book.literature.ours import from_runs
from ser_core.book.literature.sources import (
    beside,
    encoder_sizes,
    published,
    published_answers,
    published_confusions,
    published_counts,
    published_statements,
)
from ser_core.book.literature.tables import (
    best_of_many,
    in_standard_errors,
    rank_correlations,
    seed_bootstrap,
    transfer_gaps,
)

__all__ = [
    "BOOTSTRAPPED",
    "DECIDED",
    "SOURCES",
    "STATED",
    "STUDIES",
    "TOPICS",
    "VERDICTS",
    "attainable",
    "beside",
    "best_of_many",
    "constant_answers",
    "decided",
    "decisive",
    "encoder_sizes",
    "exact_interval",
    "exact_recalls",
    "from_runs",
    "from_sources",
    "in_standard_errors",
    "least_loss",
    "ledger",
    "merge_classes",
    "pool",
    "pooled_bootstrap",
    "printed",
    "published",
    "published_answers",
    "published_confusions",
    "published_counts",
    "published_statements",
    "rank_correlations",
    "seed_bootstrap",
    "transfer_gaps",
    "uar_all",
    "uar_conventions",
    "uar_seen",
    "unpaired_error",
]
