"""The ledger of claims: its words, its keys, and verdicts against figures typed here from the sources."""

import math
import re
from string import Formatter

import numpy as np
import pytest
import yaml

from ser_core import paths
from ser_core.book import literature
from ser_core.errors import SerError

LEDGER = literature.ledger()
SENTENCES = ["claim", "needs", "because", "credit"]


@pytest.fixture(scope="module")
def sources():
    return literature.from_sources()


@pytest.fixture(scope="module")
def values(sources):
    return sources | literature.from_runs(n_resamples=200)


# -- Words and keys ----------------------------------------------------------------------------------------------------


def test_every_claim_has_its_reference_place_need_and_reason():
    references = (paths.repository() / "book/references.bib").read_text()
    assert set(LEDGER["citation"]) <= set(re.findall(r"^@\w+\{([^,\s]+)", references, flags=re.MULTILINE))
    assert LEDGER[["claim", "where", "needs", "because"]].map(len).gt(5).all(axis=None)
    assert set(LEDGER["verdict"]) == set(literature.VERDICTS)
    assert set(LEDGER["source"]) == set(literature.SOURCES) and set(LEDGER["topic"]) == set(literature.TOPICS)
    cited = LEDGER.groupby("source")["citation"].unique()
    assert cited.map(len).eq(1).all() and len(set(cited.map(tuple))) == len(literature.SOURCES)


def test_claims_are_listed_once():
    text = (paths.repository() / "book/ledger.yaml").read_text()
    keys = re.findall(r"^([\w-]+):", text, flags=re.MULTILINE)
    assert keys == list(LEDGER.index) and len(set(keys)) == len(keys)
    assert not LEDGER.duplicated(["source", "claim"]).any()


CLAIMS = {
    "readme": """premium-13 85-is-72 uar-773 fusion-gain fusion-gain-grows fusion-generalises neutral-rescue
        neutral-by-words helps-uninformative text-at-chance rate-5x xlsr-multilingual xlsr-over-fusion hierarchy
        corpora-not-architecture meld-text-first same-architecture complementarity wavlm-collapse wavlm-accuracy
        wavlm-consistent competitive first-multi-seed first-rasa first-ranking sindhi-gain negative-transfer
        thirty-points inverted-ranking punjabi-leakage seed-intervals pooled-intervals held-out-shows below-chance
        urdu-too-small urdu-290 to-urdu-pooled to-urdu-single arousal to-punjabi-collapse size-asymmetry
        compared-systems""",
    "paper": """sum-157 hubert-over-baseline text-adds significantly state-of-the-art ravdess-80 unfreezing-worse
        credit-augmentation mobilenet-below cnn1d-slightly knn-best validation-unused test-table wa-is-a-share""",
    "article": """article-premium article-inflated article-fusion article-best article-meld article-systems
        article-whisper article-often article-significantly article-from-scratch""",
    "tutorial": "tutorial-accuracy tutorial-loss tutorial-faster tutorial-robust",
}


@pytest.mark.parametrize("source", CLAIMS)
def test_the_claims_that_a_reader_will_look_for_are_there(source):
    assert set(CLAIMS[source].split()) <= set(LEDGER.index[LEDGER["source"] == source])


def test_every_key_has_its_value_and_every_value_of_print_is_used(values):
    used = {key for text in LEDGER[SENTENCES].to_numpy().ravel() for _, key, *_ in Formatter().parse(text) if key}
    assert used <= set(values)
    written = literature.ledger(values)
    assert not written[SENTENCES].map(lambda text: "{" in text or "nan" in text.split()).any(axis=None)


def test_claims_on_one_topic_need_only_their_values(sources):
    some = literature.ledger(sources, topic="across languages")
    assert set(some["topic"]) == {"across languages"} and {"held-out-shows", "thirty-points"} <= set(some.index)
    with pytest.raises(SerError, match="'fusion-gain', because: no value for"):
        literature.ledger(sources, topic="fusion")
    with pytest.raises(SerError, match="no claim is about 'weather'; topics are"):
        literature.ledger(topic="weather")


CLAIM = {
    "claim": "It works.",
    "citation": "khan2026",
    "source": "readme",
    "where": "page 4",
    "topic": "data",
    "needs": "A test.",
    "verdict": "artefact",
    "because": "{x:.2f}.",
    "credit": "",
    "see": "",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"because": "It is 0.25."}, r"'c', because: \['0.25'\] is typed; write a key in braces"),
        ({"needs": "Another 30 speakers."}, r"'c', needs: \['30'\] is typed"),
        ({"claim": "All 30 cells."}, r"'c', claim: \['30'\] is typed"),
        ({"verdict": "wrong"}, "'c' has the verdict 'wrong'; expected one of"),
        ({"source": "book"}, "'c' has the source 'book'; expected one of"),
        ({"topic": "weather"}, "'c' has the topic 'weather'; expected one of"),
        ({"see": "99_none"}, "'c' has the see '99_none'; expected one of"),
        ({"because": "{y:.2f}"}, r"no value for \['y'\]; there are \['x'\]"),
        ({"note": ""}, r"'c' lacks or should not have \['note'\]"),
    ],
)
def test_the_ledger_refuses_typed_numbers_and_unknown_words(tmp_path, change, message):
    path = tmp_path / "ledger.yaml"
    path.write_text(yaml.safe_dump({"c": CLAIM | change}))
    with pytest.raises(SerError, match=message):
        literature.ledger({"x": 0.25}, path)


def test_the_ledger_says_computed_values(tmp_path):
    path = tmp_path / "ledger.yaml"
    path.write_text(yaml.safe_dump({"c": CLAIM | {"credit": "IS10 and XLS-R are names."}}))
    assert literature.ledger({"x": 0.25}, path).loc["c", "because"] == "0.25."
    assert literature.ledger(path=path).loc["c", "because"] == "{x:.2f}."


# -- Verdicts ----------------------------------------------------------------------------------------------------------


def test_every_verdict_that_numbers_decide_is_the_one_they_decide(values):
    found = literature.decided(values)
    assert set(found) <= set(LEDGER.index)
    assert found == LEDGER.loc[list(found), "verdict"].to_dict()


def test_most_claims_with_a_number_that_can_be_wrong_are_decided_by_it():
    decidable = LEDGER[~LEDGER["verdict"].eq("not testable here") & LEDGER["because"].str.contains("{", regex=False)]
    left = set(decidable.index) - set(literature.DECIDED)
    # Judged in words: what decides is what was compared, not how large the figure is.
    assert left == {
        "neutral-rescue",
        "helps-uninformative",
        "rate-5x",
        "strongest-fails",
        "sizes-readme",
        "balanced",
        "sizes-paper",
        "article-sizes",
        "article-from-scratch",
        "article-fusion",
        "article-text",
        "tutorial-sizes",
    }


@pytest.mark.parametrize(
    ("key", "change", "verdict"),
    [
        ("uar-773", {"xlsr_new": 0.765}, "reproduced"),
        ("meld-text-first", {"meld_fusion_wa": 0.58}, "reproduced"),
        ("wavlm-accuracy", {"meld_audio_wa": 0.5}, "reproduced"),
        ("negative-transfer", {"transfer_above": 12}, "reproduced"),
        ("thirty-points", {"gap_lowest": 0.28, "gap_highest": 0.33}, "reproduced"),
        ("inverted-ranking", {"sindhi_rho": -0.9, "urdu_rho": -0.8}, "reproduced"),
        ("urdu-290", {"urdu_said_small": 400}, "reproduced"),
        ("sum-157", {"sum_best": 1.5657}, "contradicted by its own figures"),
        ("mobilenet-below", {"mobilenet_wa": 0.3810}, "reproduced"),
        ("test-table", {"test_sum": 2648}, "reproduced"),
        ("article-best", {"xlsr_new": 0.72}, "reproduced"),
        ("tutorial-loss", {"tess_loss": 0.0385}, "reproduced"),
        ("text-at-chance", {"text_new": 0.0324}, "reproduced differently"),
    ],
)
def test_another_figure_would_give_another_verdict(values, key, change, verdict):
    assert literature.decided(values | change)[key] == verdict != LEDGER.loc[key, "verdict"]


def test_values_are_those_of_the_sources_by_hand(values):
    expected = {
        # README: 0.728, 0.659, 0.858, 0.796, 0.773 and what follows from them.
        "fusion_gain_new": 0.7278 - 0.6591,
        "fusion_gain_known": 0.858 - 0.796,
        "premium_fusion": 0.858 - 0.7278,
        "premium_audio": 0.796 - 0.6591,
        "xlsr_gain": 0.773 - 0.6591,
        "xlsr_over_fusion": 0.773 - 0.7278,
        "rate_scores": 0.796 / 0.27,
        "rate_ratio": 5,
        "meld_lead": 0.6088 - 0.5902,
        "meld_xlmr_behind": 0.6088 - 0.579,
        # 32 calm clips of 240: precision 32/240 and recall 1.
        "text_constant_wa": 32 / 240,
        "text_constant_wf1": 32 / 240 * 2 * (32 / 240) / (1 + 32 / 240),
        # 1,256 of 2,610 lines are neutral.
        "meld_constant_wa": 1256 / 2610,
        "meld_constant_wf1": 1256 / 2610 * 2 * (1256 / 2610) / (1 + 1256 / 2610),
        "meld_fear": 50,
        "neutral_tested": 16,
        "rasa_over_urdu": 8672 / 320,
        "rasa_imbalance": 670 / 95,
        "rasa_sum": 8672 + 962,
        "indic_sum": 734 + 701,
        "urdu_least_left": 400 - 48,
        "to_punjabi_once_uar": (1 / 95 + 0 + 0 + 1) / 4,
        "to_punjabi_once_share": 960 / 962,
        # Paper: Tables 1 to 9.
        "sum_best": 0.7989 + 0.7768,
        "sum_first": 0.6294 + 0.5672,
        "cnn_gain_wa": 0.6310 - 0.6294,
        "cnn_gain_uar": 0.5670 - 0.5672,
        "bert_gain_wa": 0.7989 - 0.7552,
        "bert_gain_uar": 0.7768 - 0.7454,
        "hubert_over_first": 0.7552 - 0.6294,
        "calm_left": 192 - 38,
        "calm_copies": 400 - (192 - 38),
        "ravdess_in_training": 2670,
        "ravdess_in_test": 262,
        "test_sum": 63 + 262 + 458 + 528 + 1327,
        "test_sums_wrong": 4,  # SAVEE, sad, surprised and all
        "test_sums": 13,
        "merged_sum": 13236,
        # Tutorial.
        "tess_least_loss": 0.0507 * math.log(2),
    }
    assert {key: values[key] for key in expected} == pytest.approx(expected)
    assert values["ravdess_in_test_can"] == "cannot"
    assert (
        values["sindhi_leader_place"] == values["urdu_runner_up_place"] == 2 and values["urdu_runner_up"] == "ComParE"
    )


def test_statements_of_the_sources_agree_with_the_figures_beside_them(values):
    """To the digits that are printed, except where the ledger says that they do not."""
    new, known = (
        literature.published_statements("ravdess-khan-si"),
        literature.published_statements("ravdess-khan-random"),
    )
    assert new["gain_of_fusion"] == pytest.approx(values["fusion_gain_new"], abs=5.1e-4)
    assert new["gain_of_xlsr"] == pytest.approx(values["xlsr_gain"], abs=5.1e-4)
    assert new["xlsr_over_fusion"] == pytest.approx(values["xlsr_over_fusion"], abs=5.1e-4)
    assert new["gain_of_neutral"] == pytest.approx(0.7778 - 0.2105, abs=5.1e-3)
    assert known["gain_of_fusion"] == pytest.approx(values["fusion_gain_known"], abs=5.1e-4)
    assert known["premium"] == pytest.approx(values["premium_fusion"], abs=5.1e-3)
    meld = literature.published_statements("meld-khan")
    assert meld["text_over_fusion"] == pytest.approx(values["meld_lead"], abs=5.1e-4)
    assert [meld["neutral"], meld["fear"]] == pytest.approx([values["meld_constant_wa"], values["meld_fear"]], abs=5e-3)
    rasa = literature.published_statements("punjabi-khan-single")
    assert [rasa["over_urdu"], rasa["imbalance"]] == [
        round(values["rasa_over_urdu"]),
        round(values["rasa_imbalance"]),
    ]
    rate = literature.published_statements("ravdess-khan-rate")
    assert [rate["rates"], rate["scores"]] == [round(values["rate_ratio"]), round(values["rate_scores"])]


# -- Arithmetic --------------------------------------------------------------------------------------------------------


def test_shares_that_no_count_of_clips_gives_are_found():
    # All of k out of 7 clips, printed with two digits, rounded or cut off.
    can = {0.0, 0.14, 0.28, 0.29, 0.42, 0.43, 0.57, 0.71, 0.85, 0.86, 1.0}
    assert {n / 100 for n in range(101) if literature.attainable(n / 100, 7, digits=2)} == can
    # The README's scores on the random split are shares of its 288 clips: 247, 229 and 38.
    assert all(literature.attainable(share, 288, digits=3) for share in (0.858, 0.795, 0.132))
    # By brute force: of the paper's twelve accuracies these are no share of 2,648 clips.
    wa = [0.6294, 0.6239, 0.4861, 0.5082, 0.3752, 0.3301, 0.2389, 0.1938, 0.3803, 0.6310, 0.7552, 0.7989]
    shares = {round(k / 2648, 4) for k in range(2649)} | {math.floor(1e4 * k / 2648) / 1e4 for k in range(2649)}
    for share in wa:
        assert literature.attainable(share, 2648) == (share in shares)
    assert sum(share not in shares for share in wa) == 7
    with pytest.raises(SerError, match="a share of 1.5 of 3 clips"):
        literature.attainable(1.5, 3)


def test_unpaired_errors_are_those_of_two_binomials(values):
    assert literature.unpaired_error(0.7292, 0.6667, 240) == pytest.approx(
        math.sqrt(0.7292 * 0.2708 / 240 + 0.6667 * 0.3333 / 240)
    )
    assert [values[key] for key in ("fusion_z", "xlsr_z", "xlsr_fusion_z")] == pytest.approx(
        [1.49, 2.77, 1.27], abs=0.01
    )


def test_no_loss_is_below_the_least_of_its_accuracy():
    import numpy as np

    rng = np.random.default_rng(0)
    for sharpness in (0.1, 1, 10, 100):
        logits = sharpness * rng.normal(size=(2000, 7))
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        truth = rng.integers(7, size=2000)
        loss = -np.log(np.maximum(p[np.arange(2000), truth], 1e-300)).mean()
        accuracy = (p.argmax(axis=1) == truth).mean()
        assert loss >= literature.least_loss(accuracy)
    # It can be reached but for a little: right answers are sure, wrong ones share the probability with the true class.
    assert literature.least_loss(0.9493) == pytest.approx(0.03514, abs=1e-5)
    assert literature.least_loss(1.0) == 0


# -- What we ran -------------------------------------------------------------------------------------------------------


def test_values_from_runs_are_scikit_learns(values):
    from sklearn.metrics import f1_score, recall_score

    from ser_core.experiments import runs

    def uar(name):
        seeds = runs.read(name).predictions.groupby("seed")
        return seeds.apply(lambda p: recall_score(p["truth"], p["prediction"], average="macro")).mean()

    ladder = "ladder/banglaser.{}.compare.svm-linear.train"
    premium = 100 * (uar(ladder.format("clip")) - uar(ladder.format("speaker")))
    assert values["premium_least"] <= premium <= values["premium_most"]
    by_size = {}
    for size, key in (("150", "few"), ("match", "all")):
        law = f"premium-{size}/{{}}.{{}}.{{}}.svm-linear.train"
        by_size[key] = [
            100 * (uar(law.format(corpus, "clip", features)) - uar(law.format(corpus, "speaker", features)))
            for corpus in ("ravdess", "emodb", "banglaser")
            for features in ("egemaps", "compare", "emobase", "byol-s")
        ]
    assert values["law_few_least"] == pytest.approx(min(by_size["few"]))
    assert values["law_all_most"] == pytest.approx(max(by_size["all"]))
    # No weighting of three corpora leaves the range of their means.
    means = np.reshape(by_size["all"], (3, 4)).mean(axis=1)
    assert min(means) <= values["law_mean"] <= max(means) and values["law_corpora"] == 3
    words = "words-controls/ravdess.speaker.cross-attention"
    assert values["words_own_points"] == pytest.approx(100 * (uar(words) - uar(f"{words}-audio")))
    words = "whisper-words/ravdess.speaker.cross-attention"
    assert float(values["words_whisper"].split()[0]) == pytest.approx(
        100 * (uar(words) - uar(f"{words}-constant")), abs=0.05
    )
    parts = [
        runs.read(f"published-splits/ravdess.khan2026-{part}.compare.svm-linear.train").predictions
        for part in ("random", "si")
    ]
    known, new = (f1_score(part["truth"], part["prediction"], average="weighted") for part in parts)
    assert values["lost_compare"] == pytest.approx(known - new)
    # Twenty-four actors say both sentences with each emotion and intensity twice.
    assert values["sentences"] == 2 and values["sentences_differ"] == 0
