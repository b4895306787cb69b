import numpy as np
import pandas as pd
import pytest

from ser_core.data import corpora
from ser_core.experiments import runs, speakers

NETWORK = "byol-finetuning/ravdess.speaker.last"


def test_folds_of_ravdess_have_four_dev_and_four_test_speakers():
    assert speakers.per_fold(NETWORK) == {"dev": 4, "test": 4}


def test_each_dev_speaker_is_counted_in_each_of_its_folds():
    times = speakers.times_in_dev(NETWORK)
    # Six folds of four dev speakers, of 24 actors.
    assert len(times) == 24 and times.sum() == 6 * 4
    dev = runs.other(NETWORK, "dev")
    actor = times.idxmax()
    assert times[actor] == len({fold for fold, who in zip(dev["fold"], dev["speaker"], strict=True) if who == actor})


def test_a_probe_is_right_as_often_as_it_names_the_speaker():
    table, said = speakers.told_apart(NETWORK, "before"), runs.other(NETWORK, "speakers-before")
    assert set(table["truth"]) == {"right"} and table["speaker"].equals(said["speaker"])
    assert (table["prediction"] == "right").mean() == np.mean(said["prediction"] == said["speaker"])


def test_a_guess_is_one_of_the_fold_or_of_the_same_gender():
    assert speakers.guessing(NETWORK) == pytest.approx(1 / 4)
    folds = runs.read(NETWORK).predictions.drop_duplicates("clip").set_index("clip")["fold"]
    people = corpora.table("ravdess").join(folds).drop_duplicates("speaker")
    # As many classes as there are of folds and genders, each guessed right once: their number by that of the actors.
    assert speakers.guessing(NETWORK, "gender") == pytest.approx(people.groupby(["fold", "gender"]).ngroups / 24)
    assert isinstance(people, pd.DataFrame)
