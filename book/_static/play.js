// Charts to play with: Vega is loaded when the first of them comes into view; without it the drawn chart stays.
"use strict";

(() => {
  const VEGA = new URL("vega.js", document.currentScript.src).href;
  let loading;
  const vega = () =>
    (loading ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      Object.assign(script, { src: VEGA, onload: done, onerror: failed });
      document.head.append(script);
    }));

  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  // UAR of a system on some speakers: mean over emotions of recalled clips by clips.
  const uar = ({ recalled, totals }, system, chosen) => {
    const sum = (table, emotion) => chosen.reduce((all, at) => all + table[at][emotion], 0);
    return 100 * mean(totals[0].map((_, emotion) => sum(recalled[system], emotion) / sum(totals, emotion)));
  };

  // Boxes to choose four actors, and what two systems score on them.
  const withActors = (view, four, controls, tell) => {
    const boxes = four.actors.map((name) => element("input", { type: "checkbox", value: name }));
    const draw = element("button", { type: "button" }, "Draw four at random");
    const labels = boxes.map((box) => element("label", {}, box, ` ${box.value}`));
    controls.append(element("fieldset", {}, element("legend", {}, "Four actors"), ...labels, draw));
    const update = () => {
      const chosen = boxes.flatMap((box, at) => (box.checked ? [at] : []));
      const [first, second] = ["first", "second"].map((name) => view.signal(name));
      if (chosen.length !== 4 || first === second) {
        view.signal("here", null).runAsync();
        return tell(first === second ? "Choose two systems." : `Choose four actors; ${chosen.length} are chosen.`);
      }
      const [one, other] = [first, second].map((system) => uar(four, system, chosen));
      view.signal("here", one - other).runAsync();
      const names = chosen.map((at) => four.actors[at]).join(", ");
      const minus = `${one < other ? "-" : "+"}${Math.abs(one - other).toFixed(1)}`;
      return tell(
        `On actors ${names}, ${first} has a UAR of ${one.toFixed(1)} % and ${second} ${other.toFixed(1)} %: ` +
          `a difference of ${minus} points.`,
      );
    };
    draw.addEventListener("click", () => {
      boxes.forEach((box) => (box.checked = false));
      const left = [...boxes];
      for (let n = 0; n < 4; n++) left.splice(Math.floor(Math.random() * left.length), 1)[0].checked = true;
      update();
    });
    boxes.forEach((box) => box.addEventListener("change", update));
    return update;
  };

  const start = async (play) => {
    const spec = JSON.parse(play.querySelector("script").textContent);
    const { keys, said, four } = spec.usermeta;
    const [controls, chart, words] = [".ser-controls", ".ser-chart", ".ser-said"].map((at) => play.querySelector(at));
    await vega();
    const drawn = element("div", {});
    const { view } = await vegaEmbed(drawn, spec, { actions: false, renderer: "svg", bind: controls, logLevel: 1 });
    chart.replaceChildren(drawn);
    const always = () => said[keys.map((name) => view.signal(name)).join("|")] ?? "";
    const tell = (more) => {
      words.textContent = [more, always()].filter(Boolean).join(" ");
    };
    const update = four ? withActors(view, four, controls, tell) : () => tell("");
    keys.forEach((name) => view.addSignalListener(name, update));
    update();
    play.dataset.ready = "";
  };

  const watch = new IntersectionObserver(
    (seen) =>
      seen.forEach(({ target, isIntersecting }) => {
        if (!isIntersecting) return;
        watch.unobserve(target);
        start(target);
      }),
    { rootMargin: "200px" },
  );
  document.querySelectorAll(".ser-play").forEach((play) => watch.observe(play));
})();
