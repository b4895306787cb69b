import numpy as np
import pytest
from predictions import system
from scipy import stats

from ser_core import intervals, metrics, resampling
from ser_core.errors import SerError


def test_chunks_change_nothing(monkeypatch):
    counts = intervals.counts(system(clips=120), "clip")

    def draw():
        return resampling.resampled([counts], metrics.uar, 500, np.random.default_rng(0), same_seeds=True)[0]

    whole = draw()
    monkeypatch.setattr(resampling, "_CHUNK", 1_000)
    assert (draw() == whole).all()


@pytest.mark.parametrize("n", [5, 10, 40])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_expanded_ends_of_a_normal_mean_are_those_of_the_t_interval(n, level):
    scores = np.random.default_rng(n).normal(0.6, 0.1, n)
    # The bootstrap means of n normal scores, without the noise of drawing them: their variance divides by n.
    values = stats.norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000, scores.mean(), scores.std() / np.sqrt(n))
    expected = stats.t.interval(level, n - 1, scores.mean(), stats.sem(scores))
    assert resampling.ends(values, level, "expanded", n) == pytest.approx(expected, rel=1e-4)


def test_percentile_ends_are_the_quantiles_of_the_values_there_are():
    values = np.append(np.random.default_rng(0).random(200), np.nan)
    expected = np.quantile(values[:-1], [0.025, 0.975])
    assert resampling.ends(values, 0.95, "percentile", 10) == pytest.approx(tuple(expected))


def test_an_unknown_method_is_refused():
    with pytest.raises(SerError, match=r"no interval method 'bca'; there are \['percentile', 'expanded'\]"):
        resampling.check("bca")
