import pandas as pd
import pytest

from ser_core.book import literature
from ser_core.data import clips, corpora, labels
from ser_core.errors import RefusalError, SerError


def table(corpus, words):
    rows = [{"corpus": corpus, "language": "und", "emotion": word} for word in words]
    return clips.validate(pd.DataFrame(rows, index=[f"{corpus}/{i}" for i in range(len(words))]))


@pytest.mark.parametrize("name", corpora.NAMES)
def test_the_words_are_those_of_the_loader_and_of_the_committed_table(name):
    words = getattr(corpora, name).EMOTIONS
    words = words.values() if isinstance(words, dict) else words
    assert sorted(words) == list(labels.NATIVE[name])
    assert set(corpora.table(name)["emotion"]) == set(labels.NATIVE[name])


@pytest.mark.parametrize("name", labels.HARMONISATIONS["common4"])
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


def test_sharma7_is_the_papers_merging_and_leaves_out_excitement():
    # The clips of each word in the five releases. What the paper's Table 4 lacks of their sums is what it dropped as
    # shorter than a second: few clips, where excitement among the happy or surprised would make it a thousand.
    iemocap = {"anger": 1103, "happiness": 595, "excitement": 1041, "sadness": 1084, "fear": 40, "surprise": 107}
    iemocap |= {"disgust": 2, "neutral": 1708, "frustration": 1849, "other": 3}
    sizes = {
        "ravdess": dict.fromkeys(labels.NATIVE["ravdess"], 192) | {"neutral": 96},
        "savee": dict.fromkeys(labels.NATIVE["savee"], 60) | {"neutral": 120},
        "tess": dict.fromkeys(labels.NATIVE["tess"], 400),
        "crema_d": dict.fromkeys(labels.NATIVE["crema_d"], 1271) | {"neutral": 1087},
        "iemocap": iemocap,
    }
    total = pd.Series(dtype="int64")
    for corpus, words in sizes.items():
        mapping = labels.HARMONISATIONS["sharma7"][corpus]
        total = total.add(pd.Series(words).rename(mapping).loc[list(mapping.values())], fill_value=0)
    published = literature.published_counts("merged-sharma")["all"]
    assert (total - published).to_dict() == {
        "angry": 71,
        "calm": 0,
        "disgust": 2,
        "fearful": 36,
        "happy": 19,
        "sad": 12,
        "surprised": 14,
    }


def test_sharma7_of_the_corpora_at_hand():
    union = corpora.table("ravdess+savee+tess")
    kept = labels.harmonise(union, "sharma7")
    counts = pd.crosstab(kept["emotion"], kept["corpus"])
    assert counts.loc["calm"].to_dict() == {"ravdess": 192, "savee": 0, "tess": 0}
    assert (counts.drop(index="calm") == [192, 60, 200]).all(axis=None)
    found = labels.coverage(union, "sharma7")
    left_out = found[found["common_word"].isna()].set_index("corpus")
    assert left_out["own_word"].unique().tolist() == ["neutral"]
    assert left_out["n"].to_dict() == {"ravdess": 96, "savee": 120, "tess": 200}


def test_sharma7_leaves_out_what_is_known_to_last_less_than_a_second():
    made = table("crema_d", ["anger", "anger", "sad", "fear", "neutral"]).assign(duration_s=[0.99, 1.0, 2.5, None, 2.0])
    assert labels.harmonise(made, "sharma7").index.tolist() == ["crema_d/1", "crema_d/2", "crema_d/3"]
    found = labels.coverage(made, "sharma7")
    assert found["n"].sum() == len(made)
    assert found[found["own_word"] == "anger"][["common_word", "n"]].to_numpy().tolist()[0] == ["angry", 1]
    assert found[found["common_word"].isna()]["own_word"].tolist() == ["anger", "neutral"]
    assert len(labels.harmonise(made, "basic8")) == len(made)
    with pytest.raises(SerError, match="no clip of crema_d has a word of 'sharma7' and lasts 1 s"):
        labels.harmonise(made.iloc[:1], "sharma7")


def test_own_words_of_several_corpora_are_not_one_set_of_labels():
    both = clips.join([table("savee", ["fear"]), table("ravdess", ["fearful"])])
    with pytest.raises(
        RefusalError, match=r"^ravdess\+savee: .* under 'native'; choose one .* common4, basic8, sharma7$"
    ):
        labels.harmonise(both, "native")
    assert labels.harmonise(both, "basic8")["emotion"].to_list() == ["fearful", "fearful"]
