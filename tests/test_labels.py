import pandas as pd
import pytest

from ser_core import clips, corpora, labels
from ser_core.errors import SerError


def table(corpus, words):
    rows = [{"corpus": corpus, "language": "und", "emotion": word} for word in words]
    return clips.validate(pd.DataFrame(rows, index=[f"{corpus}/{i}" for i in range(len(words))]))


@pytest.mark.parametrize("name", corpora.NAMES)
def test_the_words_are_those_of_the_loader_and_of_the_committed_table(name):
    words = getattr(corpora, name).EMOTIONS
    words = words.values() if isinstance(words, dict) else words
    assert sorted(words) == list(labels.NATIVE[name])
    assert set(corpora.table(name)["emotion"]) == set(labels.NATIVE[name])


@pytest.mark.parametrize("name", corpora.NAMES)
def test_every_corpus_has_the_four_common_words(name):
    assert set(labels.HARMONISATIONS["common4"][name].values()) == {"angry", "happy", "neutral", "sad"}


def test_calm_is_not_neutral_and_surprise_is_not_happy():
    kept = labels.HARMONISATIONS["common4"]
    assert "calm" not in kept["ravdess"] and "pleasant_surprise" not in kept["tess"]


def test_native_keeps_everything():
    full = corpora.table("emodb")
    pd.testing.assert_frame_equal(labels.harmonise(full, "native"), full)


def test_coverage_counts_what_is_left_out():
    both = clips.join([table("emodb", ["anger", "anger", "boredom"]), table("meld", ["joy", "fear"])])
    found = labels.coverage(both, "common4").set_index(["corpus", "own_word"])
    assert found["n"].to_dict() == {
        ("emodb", "anger"): 2,
        ("emodb", "boredom"): 1,
        ("meld", "fear"): 1,
        ("meld", "joy"): 1,
    }
    assert found.loc[("emodb", "anger"), "common_word"] == "angry"
    assert found["common_word"].isna().to_dict()[("emodb", "boredom")]
    kept = labels.harmonise(both, "common4")
    assert kept["emotion"].to_list() == ["angry", "angry", "happy"]
    assert sum(row["n"] for row in kept.attrs["coverage"]) == len(both)
    assert list(kept.columns) == list(clips.COLUMNS)


def test_harmonised_tables_can_be_joined_and_copied():
    kept = labels.harmonise(table("emodb", ["anger"]), "common4")
    assert len(clips.join([kept, labels.harmonise(table("meld", ["joy"]), "common4")])) == 2
    assert pd.concat([kept, kept.copy()]).shape == (2, 12)


def test_an_unknown_word_is_named_with_the_allowed_ones():
    with pytest.raises(SerError, match=r"emotion 'furious' of clip urdu/1 .* allowed: angry, happy, neutral, sad"):
        labels.harmonise(table("urdu", ["sad", "furious"]), "common4")
    with pytest.raises(SerError, match="urdu: emotion 'furious'"):
        labels.harmonise(table("urdu", ["furious"]), "native")


def test_a_corpus_of_your_own():
    own = table("mine", ["joy", "sadness"])
    assert labels.harmonise(own, "common4")["emotion"].to_list() == ["happy", "sad"]
    assert labels.harmonise(table("mine", ["furious"]), "native")["emotion"].to_list() == ["furious"]
    with pytest.raises(SerError, match="furious"):
        labels.harmonise(table("mine", ["furious"]), "common4")


def test_nothing_left_and_unknown_harmonisation():
    with pytest.raises(SerError, match="no clip of emodb has a word of 'common4'"):
        labels.harmonise(table("emodb", ["boredom"]), "common4")
    with pytest.raises(SerError, match="unknown harmonisation 'big6'; there are native, common4"):
        labels.coverage(table("emodb", ["anger"]), "big6")
