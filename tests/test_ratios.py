"""Rates of sums over speakers, held against accuracy by the scorer and a bootstrap of its own."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ser_core.errors import SerError
from ser_core.evaluation import intervals, ratios


@pytest.fixture
def clips():
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"speaker": np.repeat(list("abcdefgh"), 20), "emotion": ["sad", "neutral"] * 80})
    table["words"] = rng.integers(3, 9, len(table))
    table["errors"] = rng.binomial(table["words"], np.where(table["emotion"] == "sad", 0.3, 0.1))
    return table.rename(lambda i: f"toy/{i}")


def test_the_share_of_right_answers_is_accuracy_with_its_interval(clips):
    said = clips.assign(clip=clips.index, truth=clips["emotion"], right=clips["errors"].eq(0), n=1)
    other = said["truth"].map({"sad": "neutral", "neutral": "sad"})
    predictions = said.assign(prediction=said["truth"].where(said["right"], other))
    expected = intervals.interval(predictions, "wa")
    found = ratios.rate(said.assign(right=said["right"].astype(int)), "right", "n")
    assert found.value == pytest.approx(expected.value, abs=1e-12)
    # The resampler counts each confusion apart, so that its draws are others.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert (found.unit, found.n_clusters, found.method) == ("speaker", 8, expected.method)


def test_a_rate_is_the_ratio_of_sums_and_not_the_mean_of_rates(clips):
    assert ratios.rate(clips, "errors", "words").value == clips["errors"].sum() / clips["words"].sum()


def test_the_error_of_a_difference_is_that_of_speakers_drawn_for_both_sides(clips):
    found = ratios.difference(clips, "emotion", "sad", "neutral", "errors", "words")
    sums = clips.groupby(["emotion", "speaker"])[["errors", "words"]].sum()
    rng, draws = np.random.default_rng(99), []
    for _ in range(4000):
        speakers = rng.choice(list("abcdefgh"), 8)
        rates = {name: sums.loc[name].loc[speakers].sum() for name in ("sad", "neutral")}
        draws.append(np.subtract(*(rates[name]["errors"] / rates[name]["words"] for name in ("sad", "neutral"))))
    error = np.std(draws) * np.sqrt(8 / 7)
    assert found.error == pytest.approx(error, rel=0.05)
    assert found.freedom == 7
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.interval.value) / found.error, 7))
    assert found.interval.side() == 1


def test_only_speakers_of_both_sides_count(clips):
    alone = clips[(clips["speaker"] != "a") | (clips["emotion"] == "sad")]
    without = clips[clips["speaker"] != "a"]
    asked = ("emotion", "sad", "neutral", "errors", "words")
    assert ratios.difference(alone, *asked) == ratios.difference(without, *asked)


def test_few_speakers_have_no_interval(clips):
    four = clips[clips["speaker"].isin(list("abcd"))]
    assert ratios.rate(four, "errors", "words").refusal == "4 speakers, fewer than 5"
    found = ratios.difference(four, "emotion", "sad", "neutral", "errors", "words")
    assert found.interval.refusal == "4 speakers, fewer than 5"
    assert np.isnan([found.p_value, found.error, found.freedom]).all()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda table: table.drop(columns="words"), r"lacks the columns \['words'\]"),
        (lambda table: table.assign(speaker=table["speaker"].where(table["speaker"] != "a")), "toy/0: no errors"),
        (
            lambda table: table.assign(words=table["words"].where(table["speaker"] != "b", 0)),
            "of speaker 'b' is not",
        ),
        (lambda table: table.iloc[:0], "of none"),
    ],
)
def test_what_has_no_rate_is_refused(clips, change, message):
    with pytest.raises(SerError, match=message):
        ratios.rate(change(clips), "errors", "words")


def test_sides_without_a_common_speaker_are_refused(clips):
    apart = clips[clips["speaker"].isin(list("abcd")) == (clips["emotion"] == "sad")]
    with pytest.raises(SerError, match="no speaker has clips of both 'sad' and 'neutral'"):
        ratios.difference(apart, "emotion", "sad", "neutral", "errors", "words")
