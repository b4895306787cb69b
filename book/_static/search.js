// Results of a search with an excerpt of the prose, the words marked, and a link to the section that has them.
"use strict";

// Sphinx would fetch whole pages for excerpts, which browsers refuse for pages on disk, and show their code.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
// Prose before the names of functions.
Object.assign(Scorer, { objNameMatch: 3, objPartialMatch: 1, objPrio: { 0: 1, 1: 0, 2: -5 } });

(() => {
  const BEFORE = 90;
  const AFTER = 180;

  const patterns = () => {
    const query = new URLSearchParams(window.location.search).get("q") || "";
    const stemmer = new Stemmer();
    return splitQuery(query.toLowerCase())
      .filter((word) => !stopwords.includes(word))
      .map((word) => {
        // A stem such as "happi" is no beginning of the word; then the word itself is sought.
        const stem = stemmer.stemWord(word);
        const start = word.startsWith(stem) ? stem : word;
        return new RegExp(`(?<![\\p{L}\\p{N}_])${_escapeRegExp(start)}[\\p{L}\\p{N}_]*`, "giu");
      });
  };

  const count = (text, words) => words.filter((word) => text.search(word) >= 0).length;

  const best = (page, anchor, words) => {
    const sections = (window.SER_PROSE || {})[page] || [];
    const named = sections.find(([id]) => id === anchor);
    if (named) return named;
    return sections.reduce((found, next) => (count(next[1], words) > count(found[1], words) ? next : found), ["", ""]);
  };

  const excerpt = (text, words) => {
    const first = Math.min(...words.map((word) => text.search(word)).filter((place) => place >= 0), text.length);
    const from = first === text.length ? 0 : Math.max(0, first - BEFORE);
    const start = from ? text.indexOf(" ", from) + 1 : 0;
    const end = start + BEFORE + AFTER < text.length ? text.lastIndexOf(" ", start + BEFORE + AFTER) : text.length;
    const shown = document.createElement("p");
    shown.className = "context";
    shown.append(start ? "… " : "", text.slice(start, end), end < text.length ? " …" : "");
    shown.normalize();
    words.forEach((word) => mark(shown, word));
    return shown;
  };

  const mark = (element, word) => {
    [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).forEach((node) => {
      const parts = [];
      let last = 0;
      for (const found of node.data.matchAll(word)) {
        const marked = document.createElement("mark");
        marked.textContent = found[0];
        parts.push(node.data.slice(last, found.index), marked);
        last = found.index + found[0].length;
      }
      if (parts.length) node.replaceWith(...parts, node.data.slice(last));
    });
  };

  const complete = (item, words) => {
    const link = item.querySelector("a");
    const [page, anchor] = link.getAttribute("href").split("#");
    const [id, text] = best(page.replace(/\.html$/, ""), anchor ? `#${anchor}` : "", words);
    if (!anchor && id) link.href = page + id;
    if (text && !item.querySelector(":scope > span")) item.append(excerpt(text, words));
    mark(link, new RegExp(words.map((word) => word.source).join("|") || "$.", "giu"));
  };

  const words = patterns();
  const watch = new MutationObserver((changes) =>
    changes.forEach(({ addedNodes }) =>
      addedNodes.forEach((node) => node.matches?.("ul.search > li") && complete(node, words)),
    ),
  );
  // Deferred, so the page is parsed, and Sphinx has not searched yet.
  watch.observe(document.getElementById("search-results"), { childList: true, subtree: true });
})();
