import numpy as np
import pytest
from predictions import system
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation import bootstrap, intervals, metrics


def test_chunks_change_nothing(monkeypatch):
    counts = intervals.counts(system(clips=120), "clip")

    def draw():
        return bootstrap.resampled([counts], metrics.uar, 500, np.random.default_rng(0), same_seeds=True)[0]

    whole = draw()
    monkeypatch.setattr(bootstrap, "_CHUNK", 1_000)
    assert (draw() == whole).all()


@pytest.mark.parametrize("n", [5, 10, 40])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_expanded_ends_of_a_normal_mean_are_those_of_the_t_interval(n, level):
    scores = np.random.default_rng(n).normal(0.6, 0.1, n)
    # The bootstrap means of n normal scores, without the noise of drawing them: their variance divides by n.
    values = stats.norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000, scores.mean(), scores.std() / np.sqrt(n))
    expected = stats.t.interval(level, n - 1, scores.mean(), stats.sem(scores))
    assert bootstrap.ends(values, level, "expanded", n) == pytest.approx(expected, rel=1e-4)


def test_percentile_ends_are_the_quantiles_of_the_values_there_are():
    values = np.append(np.random.default_rng(0).random(200), np.nan)
    expected = np.quantile(values[:-1], [0.025, 0.975])
    assert bootstrap.ends(values, 0.95, "percentile", 10) == pytest.approx(tuple(expected))


def test_an_unknown_method_is_refused():
    with pytest.raises(SerError, match=r"no interval method 'bca'; there are \['percentile', 'expanded'\]"):
        bootstrap.check("bca")


def share_right(counts):
    return counts[..., 0, 0] / counts[..., 0, :].sum(axis=-1)


def trained(rng, speakers, seeds, speaker_sd, seed_sd):
    """Counts of one class whose recall is the sum of a speaker's and a seed's, both drawn anew; mean one half."""
    recall = 0.5 + rng.normal(0, speaker_sd, speakers) + rng.normal(0, seed_sd, (seeds, 1))
    counts = np.zeros((seeds, speakers, 2, 2))
    counts[..., 0, 0] = np.round(10_000 * recall)
    counts[..., 0, 1] = 10_000 - counts[..., 0, 0]
    return counts


@pytest.mark.parametrize(("speaker_sd", "seed_sd"), [(0.05, 0.0), (0.05, 0.02), (0.01, 0.03)])
def test_errors_over_speakers_and_three_seeds_are_right_where_the_variances_are_known(speaker_sd, seed_sd):
    rng, speakers, seeds = np.random.default_rng(1), 12, 3
    errors, held, covered = [], 0, 0
    for number in range(1_000):
        counts = trained(rng, speakers, seeds, speaker_sd, seed_sd)
        values = share_right(counts.sum(axis=1))
        drawn = np.random.default_rng(number)
        (draws,) = bootstrap.resampled([counts], share_right, 1_000, drawn, same_seeds=True)
        found = bootstrap.spread(draws, speakers, bootstrap.deviations(values))
        errors.append(found.error**2)
        held += 2 * stats.t.sf(abs(values.mean() - 0.5) / found.error, found.freedom) >= 0.05
        low, high = bootstrap.ends(draws, 0.95, "expanded", speakers, bootstrap.deviations(values))
        covered += low <= 0.5 <= high
    assert np.mean(errors) == pytest.approx(speaker_sd**2 / speakers + seed_sd**2 / seeds, rel=0.07)
    # Three seeds that differ far more than speakers are two degrees of freedom; their nine different means cannot
    # reach as far as Student's t does, so that there intervals stay too short.
    assert 0.93 <= held / 1_000 <= 0.97
    assert covered / 1_000 > (0.93 if seed_sd < speaker_sd else 0.85)


def test_three_seeds_drawn_again_without_expansion_would_have_two_thirds_of_the_variance():
    values = np.array([0.5, 0.6, 0.64])
    (way,) = bootstrap.deviations(values)
    assert np.mean(way**2) == pytest.approx(values.var(ddof=1)) == pytest.approx(1.5 * values.var())
    assert bootstrap.deviations(values[:1]) == []


def test_crossed_trainings_have_the_error_of_an_analysis_of_variance():
    rng, (rows, columns) = np.random.default_rng(2), (3, 4)
    sds = {"row": 0.03, "column": 0.02, "cell": 0.01}
    ours, anova, means = [], [], []
    for _ in range(4_000):
        table = rng.normal(0, sds["row"], (rows, 1)) + rng.normal(0, sds["column"], columns)
        table = table + rng.normal(0, sds["cell"], (rows, columns))
        ways = bootstrap.deviations(table.ravel(), (rows, columns))
        ours.append(sum(np.mean(way**2) / len(way) for way in ways))
        # Mean squares of the two-way layout, by their textbook sums.
        of_rows = columns * ((table.mean(axis=1) - table.mean()) ** 2).sum() / (rows - 1)
        of_columns = rows * ((table.mean(axis=0) - table.mean()) ** 2).sum() / (columns - 1)
        total = ((table - table.mean()) ** 2).sum() - of_rows * (rows - 1) - of_columns * (columns - 1)
        of_cells = total / (rows - 1) / (columns - 1)
        anova.append((of_rows + of_columns - of_cells) / table.size)
        assert ours[-1] == pytest.approx(anova[-1] + of_cells / table.size)
        means.append(table.mean())
    assert np.mean(anova) == pytest.approx(np.var(means), rel=0.06)
    # An analysis of variance can come out negative; ours counts the interaction twice and cannot.
    assert np.mean(ours) == pytest.approx(np.var(means) + sds["cell"] ** 2 / rows / columns, rel=0.06)
    assert min(anova) < 0 < min(ours)


def test_the_slack_of_an_end_is_how_far_it_moves_with_the_random_numbers():
    ends, slacks = [], []
    for number in range(200):
        values = np.random.default_rng(number).normal(0.02, 0.01, 2_000)
        ends.append(bootstrap.ends(values, 0.95, "expanded", 12)[0])
        slacks.append(bootstrap.slack(values, 0.95, "expanded", 12))
    # Further out quantiles lie further apart, so that it is rather too long; and it is the larger of two ends'.
    assert 2 * np.std(ends) < np.mean(slacks) < 3 * np.std(ends)
    assert np.mean(np.abs(ends - np.mean(ends)) <= np.mean(slacks)) > 0.95


@pytest.mark.parametrize("n", [0, -5, 9, 1e4, True, None])
def test_too_few_draws_are_refused_by_whatever_draws(n):
    counts = np.eye(2)[None, None].repeat(3, axis=1)
    for draw in (
        lambda: bootstrap.resampled([counts], metrics.uar, n, np.random.default_rng(0), same_seeds=True),
        lambda: bootstrap.swapped([(counts[0], counts[0], metrics.uar)], n, np.random.default_rng(0)),
    ):
        with pytest.raises(SerError, match="draws: expected a whole number of resamples or swaps, 10 or more"):
            draw()
