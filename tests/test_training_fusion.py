"""Networks that read, alone or beside one that hears: from the sentence to the Run, on a synthetic corpus."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
import yaml
from caches import forget
from sklearn.metrics import recall_score
from test_training import fold_of
from traced import unnoticed

from ser_core.data import corpora, synthetic, transcripts
from ser_core.errors import SerError
from ser_core.evaluation.predictions import COLUMNS
from ser_core.experiments import configuration, fitting, keys, runner, runs, specs
from ser_core.experiments.fitting import network
from ser_core.experiments.fitting.network import inputs
from ser_core.experiments.fitting.network.trainer import parameter_groups
from ser_core.systems import encoders
from ser_core.systems.networks.fused import FusionClassifier
from ser_core.systems.registry import FUSION_HEADS
from ser_core.systems.settings import Recipe, recipe

CLASSES = ("angry", "sad")
# Words that the tiny vocabulary has whole; each class has its own, each sentence of a class another beside them.
SAID = {
    "angry": ("no no why not", "you are the no", "why are you not", "no not a why"),
    "sad": ("oh so very sad", "i am sad oh", "god so so sad", "he is oh sad"),
}
SETTINGS = {
    "max_seconds": 0.3,
    "freeze": "all",
    "dropout": 0.0,
    "head_learning_rate": 1e-2,
    "batch_size": 8,
    "epochs": 12,
    "patience": 12,
    "precision": "fp32",
    "width": 16,
}
# A tiny checkpoint says much the same of any sentence until it is trained.
READER = {"text_freeze": 1, "learning_rate": 3e-3}


@pytest.fixture(scope="module", autouse=True)
def stores(tmp_path_factory):
    """Clips whose sound says nothing of the class and whose sentence says it; the first clip has no text."""
    root = tmp_path_factory.mktemp("fusion")
    forget()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("results", "cache", "data"):
            patch.setenv(f"SER_{name.upper()}", str(root / name))
        patch.setattr(torch.cuda, "is_available", lambda: False)
        folder = synthetic.corpus(root / "data/urdu", speakers=8, sentences=1, emotions=("calm",), repetitions=8)
        reading = corpora.local.read(folder / "clips.csv", name="urdu")
        emotion = [CLASSES[i % 2] for i in range(len(reading.clips))]
        said = [SAID[name][i // 2 % 4] for i, name in enumerate(emotion)]
        said[0], said[1] = None, "  "
        corpora.write_table(dataclasses.replace(reading, clips=reading.clips.assign(emotion=emotion, transcript=said)))
        audio, text = tiny.write("wav2vec2-base", root / "audio"), tiny.write_text("bert", root / "text")
        yield SimpleNamespace(audio=str(audio), text=f"text:{text}")
    forget()


def cell(stores, **settings):
    base = SETTINGS | {"encoder": stores.audio, "text": stores.text} | settings
    if base["text"] is None:
        for name in ("text", "width", "max_seconds"):
            base.pop(name)
    return specs.NetworkSystem(
        corpus="urdu",
        protocol="speaker",
        name="trial",
        recipe=recipe(base),
        labels="native",
        folds=4,
        seeds=(0,),
        split_seed=0,
        train_clips=None,
    )


def uar(stores, **settings):
    table, facts = fitting.fit_fold(cell(stores, **settings), 0, 1)
    rows = table[table["part"] == "test"]
    return recall_score(rows["truth"], rows["prediction"], average="macro"), facts


# Planted truth: the words decide the class.


@pytest.mark.parametrize("fusion", ["concat", "cross-attention"])
def test_words_that_decide_the_class_are_learnt_beside_a_sound_that_does_not(stores, fusion):
    score, facts = uar(stores, fusion=fusion, **READER)
    assert score > 0.9
    assert facts["n_without_text"] == 2


@pytest.mark.parametrize(
    "settings",
    [READER | {"words": "constant"}, READER | {"words": "other"}, {"words": "random"}, {"fusion": "audio:concat"}],
)
def test_without_its_own_words_a_clip_is_not_told(stores, settings):
    # Of 16 test clips, with a half by chance; 14 right or more have a probability of 0.002.
    score, facts = uar(stores, **settings)
    assert score < 0.85
    assert facts.get("n_without_text") == (None if "fusion" in settings else 2)


def test_a_network_that_only_reads_learns_them_with_no_recording_at_hand(stores, monkeypatch):
    monkeypatch.delenv("SER_DATA")
    score, facts = uar(stores, encoder=stores.text, text=None, freeze=1, learning_rate=3e-3, epochs=24, patience=24)
    assert score > 0.9
    assert facts["n_without_text"] == 2


def test_blocks_of_either_encoder_are_trained_and_each_has_its_rate(stores, monkeypatch):
    made, original = [], network._model
    monkeypatch.setattr(network, "_model", lambda *arguments: made.append(original(*arguments)) or made[-1])
    settings = {"freeze": 3, "text_freeze": 2, "learning_rate": 1e-3, "layer_decay": 0.5, "epochs": 1}
    fitting.fit_fold(cell(stores, **settings), 0, 0)
    (model,) = made
    assert (model.cached, model.text_cached) == (3, 2)
    how = cell(stores, **settings).recipe
    rates = {p: group["lr"] for group in parameter_groups(model, how) for p in group["params"]}
    for trained, name, k in ((model.encoder, stores.audio, 3), (model.reader, stores.text, 2)):
        for i, (old, new) in enumerate(zip(encoders.load(name).blocks, trained.blocks, strict=True)):
            for a, b in zip(old.parameters(), new.parameters(), strict=True):
                assert torch.equal(a, b) == (i < k)
                assert rates.get(b) == (None if i < k else pytest.approx(1e-3 * 0.5 ** (3 - i)))
    assert {rates[p] for p in model.head.parameters()} == {1e-2}


# The network.


def built(stores, fusion, **settings):
    audio, text = encoders.load(stores.audio), encoders.load(stores.text)
    torch.manual_seed(0)
    return FusionClassifier(audio, text, 2, kind=fusion, **settings).eval()


def batch(model, which, sentences):
    rng = np.random.default_rng(0)
    sounds = [rng.standard_normal(n, dtype=np.float32) for n in (4000, 9000, 6500)]
    texts = [(model.reader.prepare(said), bool(said)) for said in sentences]
    part = inputs.Part([[model.encoder.prepare(x)] for x in sounds], [0, 1, 0], texts=texts)
    return part.collate([part[i] for i in which])


@pytest.mark.parametrize("fusion", FUSION_HEADS)
def test_batch_mates_change_nothing_and_what_is_not_said_is_the_learnt_vector(stores, fusion):
    model = built(stores, fusion, width=16)
    sentences = ["oh god", "", "i am so very happy, you are not"]
    with torch.no_grad():
        model.head.absent_text.normal_()
        together = model(**batch(model, [0, 1, 2], sentences))
        for i in range(3):
            alone = model(**batch(model, [i], sentences))["logits"][0]
            torch.testing.assert_close(together["logits"][i], alone, atol=1e-5, rtol=0)
        losses = torch.nn.functional.cross_entropy(together["logits"], torch.tensor([0, 1, 0]))
        torch.testing.assert_close(together["loss"], losses)
        before = model(**batch(model, [0, 1], sentences))["logits"]
        model.head.absent_text.normal_()
        after = model(**batch(model, [0, 1], sentences))["logits"]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_a_batch_without_a_word_trains(stores):
    model = built(stores, "cross-attention", width=16).train()
    model(**batch(model, [0, 1, 2], ["", "", ""]))["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.head.absent_text.grad.abs().sum() > 0


@pytest.mark.parametrize("fusion", FUSION_HEADS)
def test_the_control_trains_as_many_parameters_within_one_percent(stores, fusion):
    found = []
    for kind in (fusion, f"audio:{fusion}"):
        audio, text = encoders.load(stores.audio), encoders.load(stores.text)
        for encoder in (audio, text):
            encoder.freeze(4)
        model = FusionClassifier(audio, text, 8, kind=kind, width=256)
        found.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
    assert abs(found[1] - found[0]) <= 0.01 * found[0]


# What is read.


def test_controls_change_the_words_once_and_for_all_and_leave_what_is_not_said():
    own = transcripts.texts("urdu")
    table = corpora.table("urdu")
    silent = set(table.index[:2])
    assert {clip for clip, turns in own.items() if turns == ("",)} == silent
    assert all(turns == (table.loc[clip, "transcript"],) for clip, turns in own.items() if clip not in silent)
    constant = transcripts.texts("urdu", words="constant")
    assert {turns for clip, turns in constant.items() if clip not in silent} == {("god so so sad",)}
    other = transcripts.texts("urdu", words="other")
    sentences = {turns for clip, turns in own.items() if clip not in silent}
    assert all(other[clip] != own[clip] and other[clip] in sentences for clip in own if clip not in silent)
    assert all(changed[clip] == ("",) for changed in (constant, other) for clip in silent)
    # 62 clips over 8 sentences: each is lent about 7.75 times.
    counts = pd.Series(list(other.values())).value_counts()
    assert 2 <= counts.drop([("",)]).min() and counts.drop([("",)]).max() <= 16
    transcripts.texts.cache_clear()
    assert transcripts.texts("urdu", words="other") == other


def said(system):
    """Return the prepared words of every clip, made anew."""
    texts = transcripts.texts(system.corpus, system.recipe.context, system.recipe.words)
    return inputs.Material(None, texts).said(system.recipe, 4)


def test_random_tokens_are_as_many_as_the_clips_own_and_fixed(stores):
    own = said(cell(stores))
    noise = said(cell(stores, words="random"))
    assert {clip: len(x) for clip, (x, _) in own.items()} == {clip: len(x) for clip, (x, _) in noise.items()}
    values = torch.cat([x for x, _ in noise.values()])
    assert abs(float(values.mean())) < 0.05 and abs(float(values.std()) - 1) < 0.05
    # Two clips of one sentence share no token.
    assert len({tuple(x[0].tolist()) for x, _ in noise.values()}) == len(noise)
    again = said(cell(stores, words="random"))
    assert all(torch.equal(x, again[clip][0]) for clip, (x, _) in noise.items())


MELD = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime\n"


@pytest.fixture
def meld(tmp_path, monkeypatch):
    """Three dialogues of three lines under SER_DATA, one a part, as MELD has them."""
    folder = tmp_path / "meld"
    folder.mkdir()
    for part in ("train", "dev", "test"):
        lines = [
            f'"{said}",{who},{emotion},0,{i},"00:00:0{i},000","00:00:0{i},900"'
            for i, (said, who, emotion) in enumerate(
                [("so sad", "Ross", "sadness"), ("oh " * 150, "Joey", "joy"), ("no", "Ross", "joy")]
            )
        ]
        (folder / f"{part}_sent_emo.csv").write_text(MELD + "\n".join(lines) + "\n")
    monkeypatch.setenv("SER_DATA", str(tmp_path))
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    forget()
    corpora.write_table(corpora.read("meld"))
    yield folder
    forget()


def test_the_turns_before_name_their_speakers_and_the_clips_own_is_read_whole(meld, stores):
    found = transcripts.texts("meld", 2)
    assert found["meld/test_dia0_utt2"] == ("Ross: so sad", "Joey: " + ("oh " * 150).strip(), "no")
    how = Recipe(encoder=stores.text, context=2)
    tokens = inputs.Material(None, transcripts.texts("meld", how.context)).prepared(how.of_inputs(), 0, 0)[
        "meld/test_dia0_utt2"
    ]
    reader = encoders.load(stores.text)
    assert len(tokens) == reader.max_tokens == 128
    assert reader.tokenizer.convert_ids_to_tokens(tokens[-3:, 0].tolist()) == ["[SEP]", "no", "[SEP]"]
    assert transcripts.texts("meld", 0)["meld/test_dia0_utt2"] == ("no",)


def meld_cell(stores, **settings):
    how = Recipe(encoder=stores.text, epochs=1, precision="fp32", **settings)
    return dataclasses.replace(cell(stores), corpus="meld", protocol="official", recipe=how)


def test_meld_needs_no_recordings_and_nothing_of_its_text_is_in_the_run(meld, stores, tmp_path):
    content = {"name": "m", "question": "?", "corpora": ["meld"], "protocols": ["official"]}
    content["recipe"] = {"encoder": stores.text, "epochs": 2, "context": 1, "select": "weighted_f1"}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content | {"networks": {"read": {}}}))
    (path,) = runner.run(configuration.load(tmp_path / "m.yaml"), jobs=1, progress=False)
    run = runs.read(f"m/{path.name}")
    assert [set(row) for row in run.info["folds"][0]["curve"]] == [{"epoch", "loss", "dev_weighted_f1", "dev_loss"}] * 2
    assert run.info["folds"][0]["n_without_text"] == 0
    assert list(run.predictions) == [*COLUMNS, "p_joy", "p_sadness"]
    assert "so sad" not in (path / "run.json").read_text()
    assert specs.read(run.info["cell"]) == configuration.load(tmp_path / "m.yaml").systems[0]
    content |= {"recipe": {"encoder": stores.audio, "text": stores.text}}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content | {"networks": {"both": {}}}))
    with pytest.raises(SerError, match="'meld' has no recordings, which network 'both' hears"):
        configuration.load(tmp_path / "m.yaml")


# Keys.


def test_the_key_hangs_on_what_is_read_and_on_the_code_that_reads(meld, stores):
    own = meld_cell(stores)
    digests = {keys.data_of(made) for made in (own, meld_cell(stores, context=1), meld_cell(stores, words="constant"))}
    assert len(digests) == 3
    file = meld / "test_sent_emo.csv"
    file.write_text(file.read_text().replace("so sad", "so very sad"))
    forget()
    assert keys.data_of(own) not in digests
    codes = [
        keys.code_of(dataclasses.replace(own, recipe=recipe(how)))
        for how in ({}, {"text": "minilm"}, {"text": "minilm", "fusion": "audio:concat"}, {"encoder": "minilm"})
    ]
    # A fusion and its control are one entry of the registry.
    assert len(set(codes)) == 3 and codes[1] == codes[2]


def test_a_cell_that_hears_alone_has_no_text_in_its_data(stores):
    plain, control = cell(stores), cell(stores, fusion="audio:concat")
    assert keys.data_of(control) == keys.audio_hash("urdu") != keys.data_of(plain)


# What a file can get wrong.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 64}, r"\['width'\] are for a second encoder"),
        ({"text_freeze": 2, "fusion": "gated"}, r"\['text_freeze', 'fusion'\] are for a second encoder"),
        ({"words": "other"}, r"\['words'\] are for texts, but 'byol-s' hears"),
        ({"context": 2}, r"\['context'\] are for texts, but 'byol-s' hears"),
        ({"context": -1}, "'context' must be a whole number from 0, not -1"),
        ({"text": "minilm", "words": True}, "'words' must be one of .*'own'.*, not True"),
        ({"text": "minilm", "fusion": "audio"}, "'fusion' must be one of .*'audio:concat'.*, not 'audio'"),
        ({"text": "minilm", "text_freeze": "some"}, "'text_freeze' must be a number of blocks or 'all', not 'some'"),
        ({"text": "minilm", "pooling": "attention"}, "leave 'pooling: attention' out"),
        ({"text": "minilm", "augmentation": {"mixup": 0.4}}, "leave 'mixup' out"),
        ({"text": "minilm", "fusion": "cross-attention", "width": 12}, "8 heads, which do not divide a 'width' of 12"),
        ({"text": "minilm", "fusion": "audio:gated", "words": "other"}, "'audio:gated' reads nothing"),
        ({"text": "minilm", "fusion": "audio:gated", "text_freeze": 0}, "'audio:gated' reads nothing"),
        ({"text": "minilm", "text_freeze": 0, "words": "random"}, "set 'text_freeze: all' beside 'words: random'"),
        ({"encoder": "minilm", "words": "random"}, "set 'freeze: all' beside 'words: random'"),
        ({"encoder": "minilm", "trim": True}, r"\['trim'\] are for recordings, but 'minilm' reads"),
        ({"encoder": "minilm", "text": "minilm"}, "leave it out, 'minilm' reads"),
        ({"text": "wav2vec"}, "'text' is 'minilm' or 'text:' with a Hub id or folder, not 'wav2vec'"),
        ({"select": "wa"}, "'select' must be one of .*, not 'wa'"),
    ],
)
def test_a_combination_that_cannot_be_gets_one_line(settings, message):
    with pytest.raises(SerError, match=message) as caught:
        recipe(settings)
    assert str(caught.value).startswith("recipe: ") and "\n" not in str(caught.value)


def test_texts_that_are_not_there_are_refused(stores):
    assert transcripts.refusal("urdu", 2) == "'urdu' has no dialogues, so no 2 turns before a clip"
    with pytest.raises(SerError, match="'urdu' has no dialogues"):
        transcripts.texts("urdu", 2)
    with pytest.raises(SerError, match="'urdu' has no dialogues, so no 2 turns before a clip; leave the context out"):
        transcripts.said(corpora.table("urdu"), "urdu", 2)
    with pytest.raises(
        SerError, match=r"unknown words 'othr'; expected one of \['own', 'heard', 'constant', 'other', 'random'\]"
    ):
        transcripts.texts("urdu", words="othr")
    with pytest.raises(SerError, match="urdu: nothing is kept of what whisper-base hears; .* choose another corpus"):
        transcripts.texts("urdu", words="heard")
    assert transcripts.refusal("meld", 2) is None


def test_a_cross_attention_says_what_it_attends_to_and_no_other_network_does(stores):
    _, facts = uar(stores, fusion="cross-attention", epochs=1)
    shown = facts["attention"]
    # The first clip of the fold that says anything.
    spoken = corpora.table("urdu")["transcript"].fillna("").str.strip().loc[clips_tested(stores)]
    assert shown["clip"] == min(spoken[spoken != ""].index)
    assert shown["tokens"] == ["[CLS]", *spoken[shown["clip"]].split(), "[SEP]"]
    weights = np.array(shown["weights"])
    assert weights.shape[1] == len(shown["tokens"])
    assert weights.sum(1) == pytest.approx(np.ones(len(weights)), abs=1e-3)
    assert 0 < shown["evenness"] <= 1
    assert "attention" not in uar(stores, fusion="concat", epochs=1)[1]


def test_a_fold_in_which_nothing_is_said_has_no_attention_to_show(stores, monkeypatch):
    here = set(clips_tested(stores))
    texts = {clip: ("",) if clip in here else turns for clip, turns in transcripts.texts("urdu").items()}
    monkeypatch.setattr(transcripts, "texts", lambda *_: texts)
    forget()
    _, facts = uar(stores, fusion="cross-attention", epochs=1)
    forget()
    assert "attention" not in facts and facts["n_without_text"] >= len(here)


def clips_tested(stores):
    table, _ = fitting.fit_fold(cell(stores, fusion="concat", epochs=1), 0, 1)
    return table.loc[table["part"] == "test", "clip"]


@pytest.mark.parametrize("settings", [{"fusion": "cross-attention"}, {"fusion": "audio:gated"}, {"words": "random"}])
def test_no_code_that_a_fold_executes_goes_unnoticed(stores, monkeypatch, settings):
    trained = cell(stores, **{"epochs": 1, "patience": 1} | settings)
    forget()
    assert unnoticed(trained, fold_of(trained), monkeypatch) == set()
