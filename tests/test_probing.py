"""The speaker probe on embeddings whose content is planted."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_core.systems import speaker_probe


def clips(speakers=4, sentences=5, takes=4):
    """Everybody says every sentence; rows in no particular order."""
    rows = [
        {"clip": f"c{s}-{t}-{r}", "speaker": f"toy/s{s}", "sentence": f"toy/t{t}"}
        for s, t, r in itertools.product(range(speakers), range(sentences), range(takes))
    ]
    return pd.DataFrame(rows).set_index("clip").sample(frac=1, random_state=0)


def planted(codes, noise=0.1):
    """A vector for each clip that says its code and nothing else."""
    numbers = pd.factorize(pd.Series(codes))[0]
    chance = np.random.default_rng(0)
    return np.eye(numbers.max() + 1)[numbers] + noise * chance.standard_normal((len(numbers), numbers.max() + 1))


def accuracy(table):
    return (table["truth"] == table["prediction"]).mean()


def test_speakers_that_are_in_the_embeddings_are_found():
    table = clips()
    found = speaker_probe.speakers(planted(table["speaker"].to_numpy()), table)
    assert list(found) == ["clip", "speaker", "truth", "prediction"]
    assert found["clip"].tolist() == table.index.tolist()
    assert found["truth"].tolist() == found["speaker"].tolist() == table["speaker"].tolist()
    assert accuracy(found) == 1.0


def test_nothing_is_found_in_noise():
    table = clips(takes=20)
    noise = np.random.default_rng(1).standard_normal((len(table), 8))
    # Four standard errors about the chance of 1 in 4.
    assert abs(accuracy(speaker_probe.speakers(noise, table)) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(table))


def test_a_sentence_is_named_from_others_alone():
    """Embeddings that know each speaker's way of each sentence, and nothing that lasts from one to the next."""
    table = clips()
    pairs = planted((table["speaker"] + table["sentence"]).to_numpy())
    assert accuracy(speaker_probe.speakers(pairs, table)) < 0.4
    # With the sentences unknown, other takes of the same sentence give the speaker away.
    assert accuracy(speaker_probe.speakers(pairs, table.assign(sentence=None))) > 0.9


@pytest.mark.parametrize("n", [2, 3, 5])
def test_predictions_are_those_of_a_regression_that_leaves_one_sentence_out(n):
    table = clips(sentences=n)
    x = planted(table["speaker"].to_numpy(), noise=0.7)
    found = speaker_probe.speakers(x, table)
    expected = pd.Series(index=range(len(table)), dtype="str")
    for sentence in table["sentence"].unique():
        test = (table["sentence"] == sentence).to_numpy()
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
        expected[test] = model.fit(x[~test], table["speaker"].to_numpy()[~test]).predict(x[test])
    assert found["prediction"].tolist() == expected.tolist()
    assert 0.3 < accuracy(found) < 1


def test_no_clip_of_a_sentence_is_learnt_from_when_there_are_more_than_five():
    table = clips(speakers=2, sentences=12, takes=2)
    pairs = planted((table["speaker"] + table["sentence"]).to_numpy())
    assert accuracy(speaker_probe.speakers(pairs, table)) < 0.7


@pytest.mark.parametrize("speakers", [1, 0])
def test_fewer_than_two_speakers_cannot_be_told_apart(speakers):
    table = clips(speakers=max(speakers, 1)).assign(**({} if speakers else {"speaker": "toy/s0"}))
    assert speaker_probe.speakers(np.zeros((len(table), 2)), table) is None


def test_sentences_of_which_there_is_one_do_not_group():
    table = clips(sentences=1, takes=6)
    assert accuracy(speaker_probe.speakers(planted(table["speaker"].to_numpy()), table)) == 1.0


@pytest.mark.parametrize("sentence", [None, "toy/t0"])
def test_speakers_with_few_clips_are_learnt_from_what_there_is(sentence):
    table = clips(sentences=1, takes=2).assign(sentence=sentence)
    assert accuracy(speaker_probe.speakers(planted(table["speaker"].to_numpy()), table)) == 1.0
    # Of a single clip, nothing is left to learn the speaker from.
    assert speaker_probe.speakers(np.zeros((len(table) - 1, 2)), table.iloc[1:]) is None


def test_a_clip_of_nobody_known_is_not_told_apart():
    table = clips()
    table["speaker"] = table["speaker"].where(np.arange(len(table)) > 0)
    assert speaker_probe.speakers(np.zeros((len(table), 2)), table) is None


def test_sentences_that_only_one_speaker_says_leave_nobody_to_tell_apart():
    table = clips(speakers=2, sentences=2, takes=3)
    table["sentence"] = table["speaker"]
    assert speaker_probe.speakers(np.zeros((len(table), 2)), table) is None
