import json
import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from sklearn.metrics import confusion_matrix, recall_score

from ser_core.book import play, site, style
from ser_core.errors import SerError
from ser_core.evaluation.comparisons import Difference
from ser_core.evaluation.intervals import Interval

CLASSES = ["angry", "happy", "sad"]


def predictions(seed, n_speakers=6, repeats=8):
    rng = np.random.default_rng(seed)
    speakers = np.repeat([f"toy/{number:02}" for number in range(n_speakers)], 3 * repeats)
    truth = np.tile(CLASSES, n_speakers * repeats)
    values = rng.dirichlet(np.ones(3), len(truth))
    values[np.arange(len(truth)), np.tile([0, 1, 2], n_speakers * repeats)] += 0.4
    values /= values.sum(axis=1, keepdims=True)
    table = pd.DataFrame({"clip": [f"toy/{at}" for at in range(len(truth))], "speaker": speakers, "fold": 0, "seed": 0})
    table = table.assign(truth=truth, prediction=np.array(CLASSES)[values.argmax(axis=1)])
    return table.assign(**{f"p_{name}": values[:, at] for at, name in enumerate(CLASSES)})


def data(chart, part=None):
    spec = chart.spec if part is None else part
    return pd.DataFrame(chart.spec["datasets"][spec["data"]["name"]])


def test_actors_score_what_scikit_learn_scores_on_them():
    tables = {"one": predictions(0), "other": predictions(1)}
    chart = play.actors(tables, n_resamples=100)
    four = chart.spec["usermeta"]["four"]
    chosen = [0, 2, 3, 5]
    for name, table in tables.items():
        part = table[table["speaker"].isin([f"toy/{at:02}" for at in chosen])]
        by_hand = (np.array(four["recalled"][name])[chosen].sum(0) / np.array(four["totals"])[chosen].sum(0)).mean()
        assert by_hand == pytest.approx(recall_score(part["truth"], part["prediction"], average="macro"))
    bars = data(chart, chart.spec["layer"][0]).query("first == 'one' and second == 'other'")
    assert bars["sets"].sum() == 15  # four of six
    assert "of the 15 sets of four" in chart.spec["usermeta"]["said"]["one|other"]
    with pytest.raises(SerError, match="predicts other clips"):
        play.actors({"one": tables["one"], "less": tables["other"].iloc[:-3]}, n_resamples=100)


def test_thresholds_count_what_is_answered():
    table = predictions(2)
    chart = play.thresholds({"system": table})
    sure = table[table[[f"p_{name}" for name in CLASSES]].max(axis=1) >= 0.6]
    uar = recall_score(sure["truth"], sure["prediction"], average="macro")
    said = chart.spec["usermeta"]["said"]["system|60"]
    assert f"({len(sure)} of {len(table)})" in said and f"UAR of {100 * uar:.1f} %" in said
    cells = data(chart, chart.spec["vconcat"][1]).query("threshold == 60").set_index("truth")["share"]
    shares = confusion_matrix(sure["truth"], sure["prediction"], labels=CLASSES, normalize="true")
    assert np.allclose([cells[name] for name in CLASSES], 100 * shares, atol=0.051)
    flat = play.thresholds({"system": table.assign(p_angry=0.4, p_happy=0.3, p_sad=0.3)})
    assert flat.spec["usermeta"]["said"]["system|45"] == "system is never as sure as 45 %."


def test_ladder_says_what_is_measured_and_what_is_not():
    interval = Interval(0.09, 0.05, 0.13, 0.95, "expanded", "speaker", 24)
    row = {"corpus": "toy", "features": "compare", "size": "150", "sentences": "known", "train_clips": 150}
    row |= {"known_speakers": 0.6, "new_speakers": 0.51, "value": 0.09, "difference": Difference(interval, 0.01, "t")}
    other = row | {"corpus": "not chosen"}
    chart = play.ladder(pd.DataFrame([row, other]), {"toy": "Toy"}, {"compare": "ComParE"})
    said = chart.spec["usermeta"]["said"]
    assert "60.0 %" in said["toy|compare|150|known"] and "+9.0 [+5.0, +13.0]" in said["toy|compare|150|known"]
    assert said["toy|compare|150|new"].startswith("Not measured")
    rows = data(chart, chart.spec["layer"][1])
    assert set(rows["corpus"]) == {"toy"} and rows.set_index("row")["high"]["premium"] == 13.0


def test_matrix_means_leave_out_what_is_within_a_corpus():
    rows = [("a", "b", 0.4), ("b", "a", 0.5), ("a", "a", 0.8), ("the rest", "b", 0.6)]
    scores = pd.DataFrame(rows, columns=["trained", "tested", "uar"]).assign(features="x", normalisation="train")
    scores = scores.assign(wa=0.3, macro_f1=0.2, weighted_f1=0.1)
    chart = play.matrix(scores, {"a": "A", "b": "B"}, {"x": "X"}, {"train": "clips", "none": "nothing"}, "the rest")
    said = chart.spec["usermeta"]["said"]
    assert "from one other corpus 45.0 %, from the rest 60.0 %, from the corpus itself 80.0 %" in said["x|train|uar"]
    assert said["x|train|uar"].endswith("60.0 %, from the rest to B.")
    assert said["x|none|uar"].startswith("No Run")


def test_a_chart_needs_no_scripts_no_network_and_follows_the_theme():
    chart = play.thresholds({"<system> </script>": predictions(2)})
    page = chart._repr_mimebundle_()["text/html"]
    soup = BeautifulSoup(page, "html.parser")
    (box,) = soup.contents
    assert box.select_one(".ser-chart")["aria-label"] == chart.alt and box.select(".ser-chart > svg path")
    assert "100 % of the clips" in box.select_one("p[aria-live=polite]").get_text()
    assert json.loads(box.find("script", type="application/json").string) == chart.spec
    addresses = set(re.findall(r"https?://[^\"'\s]+", page.replace(r"\/", "/")))
    assert not [url for url in addresses if not url.startswith(("http://www.w3.org/", "https://vega.github.io/schema"))]
    assert f"var(--ser-c1, {style.PALETTE[0]})" in page
    assert not re.findall(r'(?<!, )["\'](?:#[0-9a-f]{6})["\']', json.dumps(chart.spec))
    # The same data give the same page, so that a release gives the same bytes.
    assert play.thresholds({"<system> </script>": predictions(2)})._repr_mimebundle_()["text/html"] == page


def test_vega_is_written_with_its_licence(tmp_path):
    site.write_vega(tmp_path)
    script = (tmp_path / "vega.js").read_text()
    assert "window.vegaEmbed=" in script and script.startswith("/*! Vega") and len(script) < 1_500_000
    assert "Redistributions in binary form" in (tmp_path / "vega.txt").read_text()
