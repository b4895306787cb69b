"""The rendered book in Chromium: by mouse, by keyboard, on a phone, in the dark, on paper."""

import re

import pytest
import yaml
from sklearn.metrics import recall_score

from ser_core import paths
from ser_core.book.release import printing
from ser_core.experiments import scoring

ROOT = paths.repository()
HTML = ROOT / "_build" / "html"
CHAPTER = "book/chapters/01_datasets_and_leakage"
INKS = {"light": "#1f2328", "dark": "#e8eaed"}
pytestmark = [
    pytest.mark.skipif(not (HTML / "index.html").is_file(), reason="the book is not rendered; run make book first"),
    pytest.mark.skipif(not printing.can_print(), reason="no Chromium on this machine"),
]


def in_contents():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter for part in contents["parts"] for chapter in part["chapters"]]
    return [contents["root"], *(one["file"] for chapter in chapters for one in (chapter, *chapter.get("sections", ())))]


@pytest.fixture(scope="module")
def browser():
    with printing.browser() as opened:
        yield opened


@pytest.fixture
def visit(browser):
    """Open a page from disk; at the end of the test, no error was logged and nothing was asked of the network."""
    contexts, asked, errors = [], [], []

    def call(name, *, width=1280, height=900, scheme="light"):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url) if request.url.startswith("http") else None)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((HTML / f"{name}.html").as_uri())
        return page

    yield call
    for context in contexts:
        context.close()
    assert (asked, errors) == ([], [])


HIDDEN = """() => [...document.querySelectorAll('.ser-figure svg, figure img, table.table')].filter(figure => {
  const box = figure.getBoundingClientRect();
  if (!box.width) return false;
  const scroller = figure.closest('.ser-figure, .pst-scrollable-table-container');
  const reached = scroller && ['auto', 'scroll'].includes(getComputedStyle(scroller).overflowX)
    && getComputedStyle(scroller).backgroundImage.includes('gradient')
    && scroller.getBoundingClientRect().right <= document.documentElement.clientWidth + 1;
  return box.right > document.documentElement.clientWidth + 1 && !reached;
}).map(figure => figure.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_on_a_phone(visit, scheme):
    """No sideways scrolling, no figure or table out of reach, figures that follow the theme."""
    page = visit("book/index", width=390, height=844, scheme=scheme)
    wide, hidden, inks = [], [], set()
    for name in [*in_contents(), "genindex", "search"]:
        page.goto((HTML / f"{name}.html").as_uri())
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(name)
        hidden += [f"{name}: {start}" for start in page.evaluate(HIDDEN)]
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        inks.add(page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ser-ink').trim()"))
    assert (wide, hidden, inks) == ([], [], {INKS[scheme]})


def test_figures_of_a_phone_fit_and_their_letters_are_readable(visit):
    page = visit(CHAPTER, width=390, height=844)
    found = page.evaluate(
        """() => [...document.querySelectorAll('.ser-figure')].map(figure => {
            const visible = [...figure.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width);
            const [shown, ...more] = visible;
            const box = shown.getBoundingClientRect();
            const scale = box.width / shown.viewBox.baseVal.width;
            const sizes = [...shown.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text).fontSize));
            return [more.length, box.right <= document.documentElement.clientWidth, Math.min(...sizes) * scale];
        })"""
    )
    assert len(found) > 5
    assert all(more == 0 and fits and letters >= 9 for more, fits, letters in found), found


def test_paper_has_the_wide_figures(visit):
    page = visit(CHAPTER, width=390, height=844)
    page.emulate_media(media="print")
    shown = page.evaluate("[...document.querySelectorAll('.ser-figure svg')].map(one => getComputedStyle(one).display)")
    assert set(shown[::2]) == {"block"} and set(shown[1::2]) == {"none"}


def test_first_columns_stay_when_a_table_scrolls(visit):
    page = visit(CHAPTER, width=390, height=844)
    moved = page.evaluate(
        """() => [...document.querySelectorAll('.pst-scrollable-table-container')]
        .filter(box => box.scrollWidth > box.clientWidth + 20 && box.querySelector('tbody td, tbody th'))
        .map(box => {
            box.scrollLeft = box.scrollWidth;
            const cell = box.querySelector('tbody tr').children[0].getBoundingClientRect();
            return cell.left - box.getBoundingClientRect().left;
        })"""
    )
    assert moved and all(abs(distance) < 2 for distance in moved)


def test_captions_are_never_wider_than_what_is_seen(visit):
    page = visit("book/chapters/03_self_supervised")
    cut = page.evaluate(
        """() => [...document.querySelectorAll('.pst-scrollable-table-container')].filter(box => {
            const caption = box.querySelector('caption');
            return caption && caption.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
        }).length"""
    )
    assert cut == 0


def test_the_theme_is_switched_and_remembered(visit):
    page = visit(CHAPTER)
    themes = []
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        themes.append(page.evaluate("document.documentElement.dataset.mode"))
    assert sorted(themes) == ["auto", "dark", "light"]
    while page.evaluate("document.documentElement.dataset.mode") != "dark":
        page.locator(".theme-switch-button:visible").first.click()
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_dark_pages_print_in_light_colours(visit):
    page = visit(CHAPTER, scheme="dark")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate(
        """() => window.addEventListener('beforeprint', () => {
            const style = (element) => getComputedStyle(element);
            window.printed = [style(document.body).backgroundColor, style(document.querySelector('article h1')).color,
                style(document.documentElement).getPropertyValue('--ser-ink').trim()];
        })"""
    )
    assert page.pdf().startswith(b"%PDF")
    background, heading, ink = page.evaluate("window.printed")
    assert (background, ink) == ("rgb(255, 255, 255)", INKS["light"])
    assert max(map(int, heading.removeprefix("rgb(").rstrip(")").split(","))) < 110, "headings are dark on paper"
    # Afterwards the reader has the theme back.
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == before != background


def test_folded_code_is_not_printed_and_folded_tables_are(visit):
    page = visit(CHAPTER)
    tables = page.locator("details.sd-dropdown table")
    assert tables.count() > 1 and not tables.first.is_visible()
    page.emulate_media(media="print")
    assert page.locator("details.hide").count() > 5
    assert page.locator("details.hide:visible").count() == 0
    page.evaluate(
        """() => window.addEventListener('beforeprint', () => {
            window.printed = [...document.querySelectorAll('article table')].map(one => one.checkVisibility());
        })"""
    )
    page.pdf()
    assert page.evaluate("window.printed.length > 2 && window.printed.every(Boolean)")
    assert not tables.first.is_visible()


def test_a_link_to_a_folded_table_opens_it(visit):
    page = visit(CHAPTER)
    page.goto((HTML / f"{CHAPTER}.html").as_uri() + "#tab-declared")
    page.locator("#tab-declared").wait_for()


def test_search_shows_prose_with_marked_words_and_marks_them_on_the_page(visit):
    page = visit("book/index")
    page.goto((HTML / "search.html").as_uri() + "?q=speakers+recall")
    page.wait_for_function("document.querySelectorAll('ul.search li').length > 5")
    excerpts = page.locator("ul.search li p.context").all_inner_texts()
    assert len(excerpts) > 3
    assert not [text for text in excerpts if "import " in text or "glue." in text or '", "' in text]
    marked = {text.lower() for text in page.locator("ul.search p.context mark").all_inner_texts()}
    assert marked and all(word.startswith(("speaker", "recall")) for word in marked)
    page.locator("ul.search li a", has=page.locator("xpath=self::*[contains(@href, 'chapters/0')]")).first.click()
    page.wait_for_selector("article span.highlighted", state="attached")
    shown = {text.lower() for text in page.locator("article p span.highlighted").all_text_contents()}
    assert shown & {"speakers", "recall"}


def test_icons_are_drawn_without_a_script(visit):
    page = visit(CHAPTER)
    page.evaluate("document.fonts.ready")
    icon = page.locator(".article-header-buttons i.fa-download")
    assert icon.bounding_box()["width"] > 5
    assert page.evaluate("[...document.fonts].some(f => f.family.includes('Font Awesome') && f.status == 'loaded')")


def test_the_first_link_leads_past_the_menus(visit):
    page = visit(CHAPTER)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main-content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main-content"


def test_folded_code_opens_by_keyboard(visit):
    page = visit(CHAPTER)
    fold = page.locator("article details.hide").nth(1)
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("fold => fold.open")


CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faults = new Set();
  const walker = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('svg, .headerlink, .copybtn')) continue;
    if (!element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faults.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...faults];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [CHAPTER, "book/index", "book/cite", "book/api/evaluation"])
def test_text_has_contrast(visit, name, scheme):
    """4.5:1, by the formula of WCAG 2.2."""
    assert visit(name, scheme=scheme).evaluate(CONTRAST) == []


# A drawing is one labelled image, and a listing its text; the parts of both take two thirds of axe's time.
# Returned is what one could go to in them, which must not be there.
WITHOUT_STROKES = """() => {
  const parts = ['a', 'button', 'input', '[tabindex]'].flatMap(part => [`.ser-figure svg ${part}`, `pre ${part}`]);
  const found = [...document.querySelectorAll(parts)].map(part => part.outerHTML.slice(0, 200));
  document.querySelectorAll('.ser-figure svg').forEach(drawing => drawing.replaceChildren());
  document.querySelectorAll('pre').forEach(listing => { listing.textContent = listing.textContent; });
  return found;
}"""


def test_axe_finds_no_fault_in_what_is_ours(visit):
    """What assistive technology needs, by axe-core's rules for WCAG 2.2 AA; the theme's own menus are not ours."""
    from axe_playwright_python.sync_playwright import Axe

    kinds = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    # Contrast has a stricter test above, and takes most of the time. To preload is to ask for stylesheets again.
    rules = {"runOnly": kinds, "rules": {"color-contrast": {"enabled": False}}, "preload": False}
    page, faults = visit("book/index"), []
    for name in in_contents():
        page.goto((HTML / f"{name}.html").as_uri())
        faults += [f"{name}: {part}" for part in page.evaluate(WITHOUT_STROKES)]
        # Docutils gives references a role that is no longer used.
        place = {"include": [["article"]], "exclude": [[".citation-list"]]}
        found = Axe().run(page, context=place, options=rules).response["violations"]
        faults += [f"{name}: {one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]
    assert faults == []


PLAY = "book/play"
FIRST, SECOND = "ComParE", "BYOL-S, last block fine-tuned"
RUNS = {
    FIRST: "baselines-compare/ravdess.speaker.compare.logreg.train.tuned",
    SECOND: "byol-finetuning/ravdess.speaker.last",
}


def playing(page, name):
    """Scroll to a chart to play with, and wait until it can be played with."""
    play = page.locator(f"#{name}")
    play.scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name}[data-ready]")
    return play


@pytest.mark.parametrize("width", [1280, 390])
def test_a_choice_changes_chart_and_sentence(visit, width):
    # So low that the first chart is out of view. What comes into view is told after a frame.
    page = visit(PLAY, width=width, height=100)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("typeof vegaEmbed") == "undefined", "Vega is not loaded before it is needed"
    page.set_viewport_size({"width": width, "height": 900})
    play = playing(page, "play_ladder")
    before = play.locator("svg").inner_html()
    play.get_by_label("Corpus").select_option("EmoDB")
    said = play.locator("[aria-live]")
    assert said.inner_text().startswith("EmoDB, ComParE, ") and play.locator("svg").inner_html() != before
    play.get_by_label("Test sentences are").select_option("new, too")
    play.get_by_label("Training size").select_option("600 clips")
    assert said.inner_text().startswith("Not measured")
    matrix = playing(page, "play_matrix")
    matrix.get_by_label("Measure").select_option("macro F1")
    assert matrix.locator("[aria-live]").inner_text().startswith("macro F1, mean")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    cut = """() => [...document.querySelectorAll('.ser-chart svg')]
        .filter(svg => svg.getBoundingClientRect().right > document.documentElement.clientWidth).length"""
    assert page.evaluate(cut) == 0


def test_four_actors_are_chosen_by_keyboard_and_scored_as_by_scikit_learn(visit):
    page = visit(PLAY)
    play, chosen = playing(page, "play_actors"), ["03", "08", "21", "24"]
    for name in chosen:
        play.get_by_label(name, exact=True).focus()
        page.keyboard.press("Space")
    said = play.locator("[aria-live]").inner_text()
    for label, run in RUNS.items():
        table = scoring.predictions_of(run)
        table = table[table["speaker"].isin([f"ravdess/{name}" for name in chosen])]
        uars = [recall_score(of["truth"], of["prediction"], average="macro") for _, of in table.groupby("seed")]
        assert f"{label} {'has a UAR of ' * (label == FIRST)}{100 * sum(uars) / len(uars):.1f} %" in said
    play.get_by_role("button", name="Draw four at random").focus()
    page.keyboard.press("Enter")
    assert len(re.search(r"On actors ([\d, ]+),", play.locator("[aria-live]").inner_text())[1].split(", ")) == 4
    play.get_by_role("checkbox", checked=True).first.click()
    assert "Choose four actors; 3 are chosen" in play.locator("[aria-live]").inner_text()


def test_a_threshold_is_moved_by_keyboard(visit):
    page = visit(PLAY)
    play = playing(page, "play_thresholds")
    play.get_by_role("slider").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    table = scoring.predictions_of(RUNS[FIRST])
    kept = table[table.filter(regex="^p_").max(axis=1) >= 0.5]
    uar = 100 * recall_score(kept["truth"], kept["prediction"], average="macro")
    said = play.locator("[aria-live]").inner_text()
    assert "at least 50 %" in said and f"({len(kept):,} of 1,440)" in said and f"UAR of {uar:.1f} %" in said


def test_charts_and_the_ledger_are_there_without_scripts(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((HTML / f"{PLAY}.html").as_uri())
    assert page.locator(".ser-chart svg:visible").count() == page.locator(".ser-said:visible").count() == 4
    page.goto((HTML / f"{LEDGER}.html").as_uri())
    assert page.locator("table.ser-ledger tbody tr:visible").count() > 100
    context.close()


LEDGER = "book/chapters/06_claims"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_ledger_is_filtered_by_keyboard(visit, width):
    page = visit(LEDGER, width=width)
    rows, said = page.locator("table.ser-ledger tbody tr:visible"), page.get_by_text(re.compile(r"^\d+ of \d+ claims$"))
    every = rows.count()
    assert said.inner_text() == f"{every} of {every} claims"
    page.get_by_label("Verdict").focus()
    page.keyboard.type("artefact")
    verdicts = set(page.locator("table.ser-ledger tbody tr:visible td:nth-child(3)").all_inner_texts())
    assert verdicts == {"artefact"} and 0 < rows.count() < every
    page.get_by_label("Verdict").select_option("all")
    page.get_by_label("Document").select_option("paper")
    page.get_by_label("Words").focus()
    page.keyboard.type("Forest")
    assert 0 < rows.count() < every and said.inner_text() == f"{rows.count()} of {every} claims"
    assert all("forest" in text.lower() for text in rows.all_inner_texts())
    box = page.locator("table.ser-ledger").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
