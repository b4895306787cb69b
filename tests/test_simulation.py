import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from ser_core import metrics, simulation, store


def test_truth_equals_numerical_integration():
    def recall(ease):
        return integrate.quad(lambda z: special.expit(ease + 1.3 * z) * stats.norm.pdf(z), -10, 10)[0]

    expected = np.mean([recall(ease) for ease in np.linspace(-0.5, 1.5, 4)])
    assert simulation.true_uar(4, 0.5, 1.2) == pytest.approx(expected, abs=1e-9)


def test_drawn_experiments_have_the_true_uar():
    counts = simulation.draw(
        20, repetitions=500, clips_per_speaker=40, n_classes=4, speaker_sd=0.5, class_sd=1.0,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert counts.shape == (500, 20, 4, 4) and (counts.sum(-1) == 10).all()
    mean = metrics.uar(counts.sum(axis=1)).mean()
    assert mean == pytest.approx(simulation.true_uar(4, 0.5, 1.0), abs=0.004)


def test_clips_miss_the_truth_and_speakers_do_not():
    table = simulation.coverage([20], repetitions=200, n_resamples=300).set_index(["unit", "method"])
    assert table.loc[("clip", "percentile"), "coverage"] < 0.75
    assert table.loc[("speaker", "expanded"), "coverage"] > 0.88
    widths = table["mean_width"]
    assert widths["clip", "percentile"] < widths["speaker", "percentile"] < widths["speaker", "expanded"]


def test_without_a_speaker_effect_clips_are_right():
    table = simulation.coverage([20], repetitions=200, n_resamples=300, speaker_sd=0.0, class_sd=0.0)
    assert table.loc[table["unit"] == "clip", "coverage_high"].item() > 0.93


def test_a_row_does_not_depend_on_the_others():
    few = simulation.coverage([5], repetitions=10, n_resamples=50)
    more = simulation.coverage([4, 5], repetitions=10, n_resamples=50)
    pd.testing.assert_frame_equal(few, more[more["n_speakers"] == 5].reset_index(drop=True))


def test_the_written_table_is_the_same_bytes_every_time(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_RESULTS", str(tmp_path))
    first = simulation.write(repetitions=3).read_bytes()
    assert simulation.write(repetitions=3).read_bytes() == first
    table = store.read_parquet(simulation.path())
    assert len(table) == 45 and table["effect"].unique().tolist() == ["none", "moderate", "strong"]
