import re

import pytest
import yaml

from ser_core import paths
from ser_core.book import literature
from ser_core.errors import SerError


def test_every_published_figure_has_its_reference():
    table = literature.published()
    references = (paths.repository() / "book/references.bib").read_text()
    known = set(re.findall(r"^@\w+\{([^,\s]+)", references, flags=re.MULTILINE))
    assert set(table["citation"]) <= known
    assert table.loc[("emodb-wagner", "ComParE 2016 + SVM", "uar"), "value"] == 0.771
    assert table.loc[("merged-sharma", "k-NN", "wa"), "value"] == 0.6294
    within = table[table.index.get_level_values("study").str.endswith("khan-classical")]
    across = table[table.index.get_level_values("study").str.contains("-to-")]
    assert len(within.xs("uar", level="metric")) == len(across.xs("uar", level="metric")) == 30
    assert table.loc[table["speaker_independent"] == False, "faults"].str.len().gt(0).all()  # noqa: E712


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda study: study.pop("protocol"), r"lacks or should not have \['protocol'\]"),
        (lambda study: study["results"].append({"system": "x", "UAR": 0.5}), r"unknown fields \['UAR'\]"),
        (lambda study: study["results"].append({"system": "x", "uar": 61.2}), r"outside \[0, 1\]"),
        (
            lambda study: study["results"].append({"system": "x", "uar": 0.5, "intervals": {"wa": [0.4, 0.6]}}),
            r"unknown fields \['wa'\]",
        ),
        (
            lambda study: study["results"].append({"system": "x", "uar": 0.5, "intervals": {"uar": [0.6, 0.7]}}),
            r"or its interval",
        ),
        (lambda study: study["results"].append(study["results"][0]), "stands there twice"),
    ],
)
def test_published_refuses_what_it_cannot_vouch_for(tmp_path, change, message):
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    change(studies["emodb-wagner"])
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match=message):
        literature.published(path)


def test_published_counts_are_of_a_study_that_has_them(tmp_path):
    with pytest.raises(SerError, match=r"no counts of study 'ravdess-sharma'; there are those of \['merged-sharma'\]"):
        literature.published_counts("ravdess-sharma")
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    del studies["merged-sharma"]["counts"]["test"]["calm"]
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match="'merged-sharma' are not of the same classes in each part"):
        literature.published_counts("merged-sharma", path)


def test_published_intervals_stand_beside_their_values():
    table = literature.published()
    shows = table.loc[("urdu-khan-shows", "XLS-R 300M", "uar")]
    assert shows[["value", "low", "high"]].tolist() == [0.103, 0.075, 0.131]
    assert table.loc[("emodb-wagner", "ComParE 2016 + SVM", "uar"), ["low", "high"]].isna().all()
    assert table["low"].isna().equals(table["high"].isna())
    # Four conditions, pooled with three metrics and as the mean of three trainings with two; and seven systems.
    assert table["low"].notna().sum() == 4 * (3 + 2) + 7


def test_published_confusions_have_a_row_for_absent_classes_too():
    table = literature.published_confusions("urdu-khan-shows")
    assert table.index.unique("part").tolist() == ["SM2", "SM3", "SM4"]
    assert table.columns.tolist() == table.loc["SM2"].index.tolist() == ["angry", "happy", "neutral", "sad"]
    assert table.loc[("SM3", "neutral")].tolist() == [0, 1, 0, 7]
    assert table.groupby(level="part").sum().sum(axis=1).to_dict() == {"SM2": 28, "SM3": 12, "SM4": 48}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts["SM2"].pop("clips"), r"'SM2': lacks or should not have \['clips'\]"),
        (lambda parts: parts["SM2"].update(answered={"sad": 1}), r"should not have \['answered'\]"),
        (lambda parts: parts["SM2"].update(clips=29), "add up to 28 clips; stated are 29"),
        (lambda parts: parts["SM2"]["rows"].update(angry=[26, 2, 0]), r"rows of \['angry'\] are no lists of 4 counts"),
        (lambda parts: parts["SM2"]["rows"].update(angry=[26.5, 1.5, 0, 0]), "not a whole number"),
        (lambda parts: parts["SM2"]["rows"].update(angry=[30, -2, 0, 0]), "not a whole number of 0 or more"),
        (lambda parts: parts["SM2"]["rows"].update(calm=[0, 0, 0, 0]), r"\['calm'\], which are not among the classes"),
        (lambda parts: parts["SM4"].update(classes=parts["SM2"]["classes"][::-1]), "different classes or orders"),
    ],
)
def test_confusions_that_cannot_be_are_refused(tmp_path, change, message):
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    change(studies["urdu-khan-shows"]["confusions"])
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match=message):
        literature.published_confusions("urdu-khan-shows", path)


def test_confusions_are_of_a_study_that_has_them():
    with pytest.raises(
        SerError, match=r"no confusions of study 'emodb-wagner'; there are those of \['urdu-khan-shows'"
    ):
        literature.published_confusions("emodb-wagner")


def test_commonest_answers_are_counted():
    answers = literature.published_answers("punjabi-khan-urdu")
    assert answers["answer"].tolist() == ["sad", "happy", "angry"]
    assert answers["n"].tolist() == [961, 961, 927]
    assert answers.loc["seed 2024", "share"] == pytest.approx(927 / 962)
    # Counted in the printed matrix: 94 + 102 + 669 + 95 answers are sad.
    assert literature.published_answers("punjabi-khan-urdu-single").loc["test"].tolist() == ["sad", 960, 960 / 962]


def test_statements_are_numbers_of_a_study_that_has_them(tmp_path):
    assert literature.published_statements("ravdess-khan-si")["uar_xlsr"] == 0.773
    with pytest.raises(SerError, match="no stated of study 'emodb-wagner'; there are those of"):
        literature.published_statements("emodb-wagner")
    studies = yaml.safe_load((paths.repository() / "book/published.yaml").read_text())
    studies["ravdess-khan-si"]["stated"]["uar_xlsr"] = "high"
    path = tmp_path / "published.yaml"
    path.write_text(yaml.safe_dump(studies))
    with pytest.raises(SerError, match=r"study 'ravdess-khan-si' states \['uar_xlsr'\] that are no numbers"):
        literature.published_statements("ravdess-khan-si", path)


def test_published_figures_stand_in_one_row_a_study():
    table = literature.beside({"emodb-wagner": "uar", "ravdess-khan-si": "macro_f1"}, ascending=False)
    assert table["corpus"].tolist() == ["EmoDB", "RAVDESS"] and table["new speakers"].tolist() == ["yes", "yes"]
    assert table["source"].tolist() == ["{cite:t}`wagner2023`", "{cite:t}`khan2026`"]
    assert table["percent"][0].startswith("UAR: wav2vec 2.0 large robust tuned on MSP-Podcast + SVM 93.4; ComParE")
    # The text encoder is left out, and the best stands first.
    assert table["percent"][1].startswith("macro F1: XLS-R 300M ") and "RoBERTa (text)" not in table["percent"][1]


def test_sizes_of_published_encoders_are_those_of_their_configurations():
    import torch
    from transformers import AutoModel, HubertConfig, Wav2Vec2Config, WavLMConfig, WhisperConfig, WhisperModel

    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
    xls = large | {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    made = {
        "wav2vec 2.0 base": Wav2Vec2Config(),
        "HuBERT base": HubertConfig(),
        "WavLM base": WavLMConfig(),
        "WavLM large": WavLMConfig(**large, feat_extract_norm="layer", do_stable_layer_norm=True),
        "XLS-R 300M": Wav2Vec2Config(**xls),
    }
    whispers = {"Whisper base": (512, 6, 8), "Whisper tiny.en": (384, 4, 6)}
    with torch.device("meta"):
        sizes = {name: AutoModel.from_config(config).num_parameters() for name, config in made.items()}
    for name, (width, layers, heads) in whispers.items():
        shape = {"d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads, "decoder_layers": 1}
        model = WhisperModel(WhisperConfig(**shape, encoder_ffn_dim=4 * width, decoder_attention_heads=heads))
        sizes[f"{name}, encoder"] = model.encoder.num_parameters()
    assert sizes == literature.encoder_sizes()
