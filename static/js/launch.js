// The launch form keeps its folded settings as the reader left them when a choice
// draws the fields anew, tells the preview, and brings a fault into view.
(function () {
  "use strict";
  const state = document.getElementById("unfolded");

  // "toggle" does not bubble, so it is caught on its way down.
  document.addEventListener("toggle", function (event) {
    if (event.target.id === "advanced") {
      state.value = event.target.open ? "1" : "";
    }
  }, true);

  document.body.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target.id === "launch-fields") {
      document.body.dispatchEvent(new CustomEvent("fields-drawn"));
      // What was pressed is gone: keyboards go on at the field that it names.
      const next = document.getElementById(event.detail.requestConfig.elt.dataset.focus);
      if (next) {
        next.focus();
      }
    }
  });

  // A second click while the first is on its way would launch a second experiment.
  let launching = false;
  document.getElementById("launch").addEventListener("submit", function (event) {
    const button = event.submitter;
    if (button && (button.name || button.hasAttribute("formaction"))) {
      return;
    }
    if (launching) {
      event.preventDefault();
    }
    launching = true;
  });
  window.addEventListener("pageshow", function () {
    launching = false;
  });

  // Presets: keep those that have every word of the filter.
  const filter = document.getElementById("preset-filter");
  filter.addEventListener("input", function () {
    const words = filter.value.toLowerCase().split(/\s+/);
    let left = 0;
    document.querySelectorAll("[data-presets]").forEach(function (group) {
      let shown = 0;
      group.querySelectorAll("[data-preset]").forEach(function (line) {
        const text = line.dataset.preset.toLowerCase();
        line.hidden = !words.every(function (word) { return text.includes(word); });
        shown += line.hidden ? 0 : 1;
      });
      group.hidden = !shown;
      left += shown;
    });
    document.getElementById("presets-none").hidden = left > 0;
  });

  const faults = document.getElementById("faults");
  if (faults) {
    faults.focus();
  }
})();
