// The ledger of claims, filtered by document, verdict and words; without this script the whole table is there.
"use strict";

(() => {
  const table = document.querySelector("table.ser-ledger");
  if (!table) return;
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  const form = document.createElement("form");
  form.className = "ser-controls";
  form.setAttribute("aria-label", "Filter the ledger");
  form.addEventListener("submit", (event) => event.preventDefault());
  const field = (name, input) => {
    const label = document.createElement("label");
    label.append(name, input);
    form.append(label);
    input.addEventListener("input", show);
    return input;
  };
  const value = (row, at) => row.cells[at].querySelector("em, strong").textContent;
  const choice = (name, at) => {
    const select = document.createElement("select");
    const values = [...new Set(rows.map((row) => value(row, at)))];
    select.append(new Option("all", ""), ...values.map((one) => new Option(one, one)));
    return field(name, select);
  };
  const said = document.createElement("p");
  said.className = "ser-said";
  said.setAttribute("aria-live", "polite");

  function show() {
    const text = words.value.trim().toLowerCase();
    rows.forEach((row) => {
      const kept =
        (!from.value || value(row, 1) === from.value) &&
        (!verdict.value || value(row, 2) === verdict.value) &&
        row.textContent.toLowerCase().includes(text);
      row.hidden = !kept;
    });
    said.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} claims`;
  }

  const from = choice("Document", 1);
  const verdict = choice("Verdict", 2);
  const words = field("Words", Object.assign(document.createElement("input"), { type: "search" }));
  const box = table.closest(".pst-scrollable-table-container") || table;
  box.before(form, said);
  show();
})();
