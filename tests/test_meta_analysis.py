"""Random effects against published summaries of the thirteen BCG vaccine trials, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from ser_core.errors import RefusalError, SerError
from ser_core.evaluation.meta_analysis import random_effects

# Log risk ratios and their variances (Colditz et al., 1994), as the R package metafor prints them for `dat.bcg`.
EFFECTS = [-0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209, 0.0120, -0.4694, -1.3713, -0.3394, 0.4459]
EFFECTS = [*EFFECTS, -0.0173]
VARIANCES = [0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714]


def test_the_bcg_trials_are_summarised_as_metafor_does():
    found = random_effects(EFFECTS, np.sqrt(VARIANCES))
    # rma(yi, vi): tau^2 0.3132, estimate -0.7145, standard error 0.1798.
    assert found.between**2 == pytest.approx(0.3132, abs=5e-4)
    assert found.mean == pytest.approx(-0.7145, abs=5e-4)
    ahead = found.mean + stats.t.ppf(0.975, 11) * np.sqrt(0.3132 + 0.1798**2)
    assert found.next_high == pytest.approx(ahead, abs=5e-3)


def test_equal_effects_have_no_variance_between_corpora():
    found = random_effects([0.1, 0.1, 0.1], [0.01, 0.02, 0.03])
    assert found.between == 0 and found.mean == pytest.approx(0.1)
    assert found.low < 0.1 < found.high and found.next_low < found.low


def test_intervals_hold_what_they_say():
    rng, held, ahead = np.random.default_rng(0), 0, 0
    for _ in range(2000):
        errors = rng.uniform(0.01, 0.03, 6)
        true = rng.normal(0.08, 0.03, 7)
        found = random_effects(rng.normal(true[:6], errors), errors)
        held += found.low <= 0.08 <= found.high
        ahead += found.next_low <= true[6] <= found.next_high
    assert 0.94 < held / 2000 < 0.98
    # Too short for so few corpora, by as much as the docstring says (Partlett and Riley, 2017, find the same).
    assert 0.905 < ahead / 2000 < 0.95


@pytest.mark.parametrize(
    ("effects", "errors", "kind", "message"),
    [
        ([0.1, 0.2], [0.1, 0.1], RefusalError, "2 corpora say nothing about the next one"),
        ([0.1, 0.2, 0.3], [0.1, 0.1], SerError, "3 effects and 2 errors"),
        ([0.1, 0.2, 0.3], [0.1, 0.1, 0.0], SerError, "errors must be above 0"),
    ],
)
def test_what_cannot_be_summarised_is_said(effects, errors, kind, message):
    with pytest.raises(kind, match=message):
        random_effects(effects, errors)
