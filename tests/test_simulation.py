import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from ser_core import files
from ser_core.data import corpora, labels
from ser_core.errors import RefusalError, SerError
from ser_core.evaluation import metrics
from ser_core.experiments import coverage

ALL_CLASSES = np.full((24, 4), 10)
ONE_CLASS_EACH = np.repeat(40 * np.eye(4, dtype=int), 6, axis=0)


def test_truth_equals_numerical_integration():
    def recall(ease):
        return integrate.quad(lambda z: special.expit(ease + 1.3 * z) * stats.norm.pdf(z), -10, 10)[0]

    expected = np.mean([recall(ease) for ease in np.linspace(-0.5, 1.5, 4)])
    assert coverage.true_uar(4, 0.5, 1.2) == pytest.approx(expected, abs=1e-9)


def test_drawn_experiments_have_the_true_uar():
    design = np.full((20, 4), 10)
    counts = coverage.draw(design, repetitions=500, speaker_sd=0.5, class_sd=1.0, rng=np.random.default_rng(0))
    assert counts.shape == (500, 20, 4, 4) and (counts.sum(-1) == 10).all()
    mean = metrics.uar(counts.sum(axis=1)).mean()
    assert mean == pytest.approx(coverage.true_uar(4, 0.5, 1.0), abs=0.004)


def test_every_drawn_speaker_has_the_clips_of_the_design():
    design = np.random.default_rng(1).integers(0, 9, (7, 3))
    counts = coverage.draw(design, repetitions=5, speaker_sd=0.5, class_sd=1.0, rng=np.random.default_rng(0))
    assert (counts >= 0).all() and (counts.sum(-1) == design).all()


def test_clips_miss_the_truth_and_speakers_do_not():
    table = coverage.coverage([20], repetitions=200, n_resamples=300).set_index(["unit", "method"])
    assert table.loc[("clip", "percentile"), "coverage"] < 0.75
    assert table.loc[("speaker", "expanded"), "coverage"] > 0.88
    widths = table["mean_width"]
    assert widths["clip", "percentile"] < widths["speaker", "percentile"] < widths["speaker", "expanded"]


def test_without_a_speaker_effect_clips_are_right():
    table = coverage.coverage([20], repetitions=200, n_resamples=300, speaker_sd=0.0, class_sd=0.0)
    assert table.loc[table["unit"] == "clip", "coverage_high"].item() > 0.93


def test_a_row_does_not_depend_on_the_others():
    few = coverage.coverage([5], repetitions=10, n_resamples=50)
    more = coverage.coverage([4, 5], repetitions=10, n_resamples=50)
    pd.testing.assert_frame_equal(few, more[more["n_speakers"] == 5].reset_index(drop=True))


def test_the_written_table_is_the_same_bytes_every_time(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    first = coverage.write(repetitions=3).read_bytes()
    assert coverage.write(repetitions=3).read_bytes() == first
    table = files.read_parquet(coverage.path())
    assert len(table) == 45 and table["effect"].unique().tolist() == ["none", "moderate", "strong"]


def test_intervals_of_a_balanced_design_hold_the_truth_as_often_as_they_say():
    table = coverage.of_design(np.full((20, 4), 15), repetitions=300, n_resamples=300)
    row = table.iloc[0]
    assert row["coverage_low"] <= 0.95 <= row["coverage_high"]
    same = coverage.coverage([20], clips_per_speaker=60, repetitions=300, n_resamples=300)
    pd.testing.assert_frame_equal(table, same[same["method"] == "expanded"].reset_index(drop=True))


@pytest.mark.parametrize("design", [ALL_CLASSES, ONE_CLASS_EACH])
def test_intervals_of_a_design_are_as_wide_as_its_scores_spread(design):
    sds = coverage.EFFECTS["strong"]
    counts = coverage.draw(design, repetitions=5_000, rng=np.random.default_rng(5), **sds)
    recalls = np.diagonal(counts.sum(axis=1), axis1=1, axis2=2) / design.sum(axis=0)
    expected = 2 * stats.t.ppf(0.975, len(design) - 1) * recalls.mean(axis=1).std()
    found = coverage.of_design(design, repetitions=100, n_resamples=300)["mean_width"].item()
    assert found == pytest.approx(expected, rel=0.1)


def test_one_emotion_a_speaker_gives_wider_intervals_than_all_of_as_many_speakers_and_clips():
    assert ALL_CLASSES.sum() == ONE_CLASS_EACH.sum()
    every, one = (
        coverage.of_design(design, repetitions=50, n_resamples=200) for design in (ALL_CLASSES, ONE_CLASS_EACH)
    )
    assert one["mean_width"].item() > 1.3 * every["mean_width"].item()
    assert one["truth"].item() == every["truth"].item() == coverage.true_uar(4, **coverage.EFFECTS["strong"])


def test_precision_has_one_row_a_design_and_effect_and_the_same_values_each_time():
    options = {"n_speakers": (5, 8), "repetitions": 4, "n_resamples": 30}
    table = coverage.precision(**options)
    pd.testing.assert_frame_equal(table, coverage.precision(**options))
    clips = labels.harmonise(corpora.table("urdu"), "common4")
    n = clips["speaker"].nunique()
    assert table["n_speakers"].tolist() == [n, 5, 8] * 2
    assert table["design"].tolist() == ["urdu", "all classes", "all classes"] * 2
    assert table["effect"].tolist() == ["moderate"] * 3 + ["strong"] * 3
    truths = [coverage.true_uar(4, **coverage.EFFECTS[effect]) for effect in table["effect"]]
    assert table["truth"].tolist() == pytest.approx(truths)
    # 400 clips of 29 speakers are 3.4 of each of four classes, rounded up to 4.
    assert table["clips_per_speaker"].tolist() == pytest.approx([len(clips) / n, 16, 16] * 2)
    few = coverage.precision(**options | {"n_speakers": (8,)})
    wanted = table[table["n_speakers"] != 5].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, wanted)
    with pytest.raises(SerError, match="unknown corpus 'nowhere'"):
        coverage.precision("nowhere")


def test_the_committed_precision_is_reproduced():
    if not coverage.path("precision").is_file():
        pytest.skip("results/simulation/precision.parquet is not there")
    table = files.read_parquet(coverage.path("precision"))
    assert not table.duplicated(["design", "n_speakers", "effect"]).any()
    first = table.iloc[:1]
    clips = labels.harmonise(corpora.table(first["design"].item()), "common4")
    design = pd.crosstab(clips["speaker"], clips["emotion"]).to_numpy()
    sds = coverage.EFFECTS[first["effect"].item()]
    found = coverage.of_design(design, repetitions=first["repetitions"].item(), n_resamples=1_000, **sds)
    pd.testing.assert_frame_equal(found, first[found.columns])


def test_a_design_without_intervals_is_refused():
    with pytest.raises(
        RefusalError, match="8 speakers of this design have no interval: 0: absent from 10% of resamples"
    ):
        coverage.of_design(np.repeat(20 * np.eye(4, dtype=int), 2, axis=0), repetitions=2, n_resamples=10)
