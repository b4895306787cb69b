"""Every published figure against a second reading of its source, typed without sight of the first.

``second_reading.csv`` has the figures as the sources print them, with all their digits; what is printed in per cent
stands there as a fraction. ``book/published.yaml`` may round them. Both are read as decimals, since as floats 0.570 and
0.57 are one.
"""

import csv
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import accuracy_score, f1_score, recall_score

from ser_core import paths
from ser_core.book import literature

PUBLISHED = paths.repository() / "book/published.yaml"
READING = Path(__file__).with_name("second_reading.csv")
MELD, SHARMA = "meld-khan", "merged-sharma"
FEWEST_DIGITS = 3
"""Decimals that a figure has at least, unless its source prints fewer."""

PICTURE = "notes from the picture"
"""What the place of a figure begins with that no text at hand prints: it was read by eye, once, from a picture."""

ONLY_IN_A_PICTURE = {
    ("emodb-emobox", "uar"): 6,
    ("ravdess-emobox", "uar"): 8,
    ("ravdess-emobox", "macro_f1"): 1,
    ("meld-emobox", "uar"): 1,
    ("meld-emobox", "macro_f1"): 1,
    ("meld-emobox", "n_clips"): 1,
}
"""Figures whose second reading is no independent one: how many of each study and metric."""


def second_reading():
    """Value and place of each figure by study, system and metric; study-wide figures have an empty system."""
    with READING.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figures = {(row["study"], row["system"], row["metric"]): (Decimal(row["value"]), row["place"]) for row in rows}
    assert len(figures) == len(rows), "a figure stands in second_reading.csv twice"
    return figures


def first_reading(path=PUBLISHED):
    """Each figure of published.yaml as its text, by the keys of `second_reading`."""
    figures = {}
    # The base loader leaves every scalar as it is written.
    for study, content in yaml.load(path.read_text(), Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader)).items():
        wide = {field: content[field] for field in ("classes", "n_clips") if content[field] != "null"}
        for part, counts in content.get("counts", {}).items():
            wide |= {f"count:{part}:{name}": count for name, count in counts.items()}
        wide |= {f"stated:{name}": number for name, number in content.get("stated", {}).items()}
        for part, table in content.get("confusions", {}).items():
            wide[f"clips:{part}"] = table["clips"]
            for truth, row in table["rows"].items():
                cells = zip(table["classes"], row, strict=True)
                wide |= {f"confusion:{part}:{truth}:{answer}": count for answer, count in cells}
        figures |= {(study, "", metric): text for metric, text in wide.items()}
        for result in content["results"]:
            of_system = {name: text for name, text in result.items() if name not in ("system", "intervals")}
            for metric, (low, high) in result.get("intervals", {}).items():
                of_system |= {f"low:{metric}": low, f"high:{metric}": high}
            figures |= {(study, result["system"], metric): text for metric, text in of_system.items()}
    return {key: Decimal(text) for key, text in figures.items()}


def agree(written, read):
    """Whether a figure is what was read, rounded to the digits that are written, and has enough of them."""
    digits, printed = (-number.as_tuple().exponent for number in (written, read))
    return written == read.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN) and digits >= min(
        printed, FEWEST_DIGITS
    )


FIRST, SECOND = first_reading(), second_reading()


def test_every_published_figure_was_read_a_second_time():
    assert sorted(set(FIRST) - set(SECOND)) == []
    # Cells that published.yaml leaves out are of rows without a clip.
    left_out = {key: value for key, (value, _) in SECOND.items() if key not in FIRST}
    assert all(metric.startswith("confusion:") for _, _, metric in left_out)
    assert not any(left_out.values())
    of_rows = {(study, metric.rpartition(":")[0]) for study, _, metric in left_out}
    assert not of_rows & {(study, metric.rpartition(":")[0]) for study, _, metric in FIRST}


@pytest.mark.parametrize("study", sorted({study for study, *_ in FIRST}))
def test_published_figures_are_what_was_read_a_second_time(study):
    wrong = {
        key: (FIRST[key], *SECOND[key]) for key in FIRST if key[0] == study and not agree(FIRST[key], SECOND[key][0])
    }
    assert wrong == {}


def test_figures_without_an_independent_second_reading_are_the_known_ones():
    assert all(place for _, place in SECOND.values())
    found = {}
    for (study, _, metric), (_, place) in SECOND.items():
        if place.startswith(PICTURE):
            found[study, metric] = found.get((study, metric), 0) + 1
    assert found == ONLY_IN_A_PICTURE


def test_the_figures_that_the_book_uses_are_the_ones_compared():
    table = literature.published()
    used = {(*key, row["value"]) for key, row in table.iterrows()}
    for end in ("low", "high"):
        used |= {
            (study, system, f"{end}:{m}", row[end]) for (study, system, m), row in table.iterrows() if row[end] >= 0
        }
    used |= {(study, system, "sd", row["sd"]) for (study, system, _), row in table.iterrows() if row["sd"] >= 0}
    assert used == {(*key, float(value)) for key, value in FIRST.items() if key[1]}
    for part, table in literature.published_counts("merged-sharma").items():
        assert table.to_dict() == {
            name: int(FIRST["merged-sharma", "", f"count:{part}:{name}"]) for name in table.index
        }
    stating = {study for study, _, metric in FIRST if metric.startswith("stated:")}
    said = {(study, name, x) for study in stating for name, x in literature.published_statements(study).items()}
    metrics = {key: key[2].partition(":") for key in FIRST}
    assert said == {(k[0], name, float(FIRST[k])) for k, (kind, _, name) in metrics.items() if kind == "stated"}


@pytest.mark.parametrize("by", ["0.03", "a unit of the last digit"])
def test_one_wrong_figure_is_noticed(by):
    for key, value in FIRST.items():
        unit = Decimal(1).scaleb(value.as_tuple().exponent)
        step = Decimal(by) if by == "0.03" and unit < 1 else unit
        for wrong in (value + step, value - step):
            assert not agree(wrong, SECOND[key][0]), key


def test_fewer_digits_than_the_source_prints_are_noticed():
    assert agree(Decimal("0.103"), Decimal("0.10256"))
    assert not agree(Decimal("0.10"), Decimal("0.10256"))
    assert agree(Decimal("0.27"), Decimal("0.27"))


@pytest.mark.parametrize(
    "file", sorted({place.split(",")[0] for k, (_, place) in SECOND.items() if "confusion" in k[2]})
)
def test_matrices_read_give_the_scores_read_in_the_same_file(file):
    here = {key: value for key, (value, place) in SECOND.items() if place.split(",")[0] == file}
    cells = [(*metric.split(":")[2:], int(n)) for (_, _, metric), n in here.items() if metric.startswith("confusion")]
    truth, answer = (np.repeat([cell[k] for cell in cells], [cell[2] for cell in cells]) for k in (0, 1))
    assert len(truth) == next(n for (_, _, metric), n in here.items() if metric.startswith("clips"))
    scores = {
        "wa": accuracy_score(truth, answer),
        "weighted_f1": f1_score(truth, answer, average="weighted", zero_division=0),
        "macro_f1": f1_score(truth, answer, average="macro", zero_division=0),
        # As these files have it: over the classes in truth or answers.
        "uar": recall_score(truth, answer, average="macro", zero_division=0),
    }
    printed = {metric: float(value) for (_, _, metric), value in here.items() if metric in scores}
    assert len(printed) >= 2
    assert printed == pytest.approx({metric: scores[metric] for metric in printed}, abs=1e-12)


@pytest.mark.parametrize("system", ["RoBERTa (text)", "WavLM base"])
def test_f1_by_emotion_read_gives_the_averages_read(system):
    """Macro F1 is their mean, and weighted F1 that by the clips of results/results.md."""
    clips = {"neutral": 1256, "joy": 401, "sadness": 208, "anger": 345, "surprise": 281, "fear": 50, "disgust": 68}
    read = {metric: float(value) for (study, of, metric), (value, _) in SECOND.items() if (study, of) == (MELD, system)}
    f1 = {emotion: read[f"f1:{emotion}"] for emotion in clips}
    assert sum(clips.values()) == SECOND[MELD, "", "n_clips"][0]
    # Each is printed with four digits, so that average and addends are each off by up to half a unit of the last.
    assert read["macro_f1"] == pytest.approx(np.mean(list(f1.values())), abs=1.01e-4)
    weighted = np.average(list(f1.values()), weights=list(clips.values()))
    assert read["weighted_f1"] == pytest.approx(weighted, abs=1.01e-4)


def test_shares_of_listeners_by_emotion_and_by_intensity_add_up():
    """RAVDESS has 288 clips that are neutral or calm and 192 of each other emotion; 768 are of normal intensity."""
    read = {key[1:]: float(value) for key, (value, _) in SECOND.items() if key[0] == "ravdess-listeners" and key[1]}
    overall = read["listeners", "wa"]
    recalls = {metric: share for (_, metric), share in read.items() if metric.startswith("recall:")}
    clips = {metric: 288 if "calm" in metric else 192 for metric in recalls}
    assert sum(clips.values()) == 1440
    assert sum(clips[metric] * share for metric, share in recalls.items()) / 1440 == pytest.approx(overall, abs=1e-9)
    normal, strong = (read[f"listeners, {name} intensity", "wa"] for name in ("normal", "strong"))
    assert (768 * normal + 672 * strong) / 1440 == pytest.approx(overall, abs=1e-9)


def test_tables_of_the_merged_corpora_add_up_except_where_they_are_known_not_to():
    read = {metric: n for (study, system, metric), (n, _) in SECOND.items() if (study, system) == (SHARMA, "")}
    counts = {}
    for metric, n in read.items():
        if metric.startswith("count:"):
            _, part, emotion = metric.split(":")
            counts.setdefault(part, {})[emotion] = n
    tested = {part.removeprefix("test of "): row for part, row in counts.items() if part.startswith("test of ")}
    sums = {f"stated:test_{corpus}": sum(row.values()) for corpus, row in tested.items()}
    sums["stated:test_all"] = sum(sums.values())
    sums |= {f"stated:test_{emotion}": sum(row[emotion] for row in tested.values()) for emotion in counts["all"]}
    assert len(sums) == 5 + 1 + 7
    assert {metric: (n, read[metric]) for metric, n in sums.items() if n != read[metric]} == {
        "stated:test_SAVEE": (63, 73),
        "stated:test_sad": (589, 599),
        "stated:test_surprised": (149, 1149),
        "stated:test_all": (2638, 2648),
    }
    assert sum(counts["all"].values()) == read["stated:clips"]
    # A fifth of the clips of each emotion is tested, as the text says; only of the happy ones it is one clip more.
    more = {emotion: counts["test"][emotion] - round(n / 5) for emotion, n in counts["all"].items()}
    assert {emotion: n for emotion, n in more.items() if n} == {"happy": 1}
