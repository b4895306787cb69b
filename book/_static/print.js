// A page prints in light colours whatever the theme, and unfolded, but for lists of files.
"use strict";

(() => {
  const root = document.documentElement;
  let theme, folded;
  window.addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    folded = [...document.querySelectorAll("details.sd-dropdown:not([open], .ser-files)")];
    folded.forEach((details) => (details.open = true));
  });
  window.addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    folded.forEach((details) => (details.open = false));
  });
})();
