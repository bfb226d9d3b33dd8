// The page of a run: draw its charts, listen to its stream, keep the epoch slider
// where the reader put it. Falls back to asking every few seconds.
(function () {
  "use strict";
  const charts = window.nasweb && window.nasweb.charts;
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const history = (charts && charts.read("history")) || [];
  const follow = document.getElementById("follow");
  const slider = document.getElementById("epoch-slider");
  const ASK_SECONDS = 5;
  const MOST_FAILURES = 3;
  let after = page.after;
  let waiting = page.waiting;
  let heard = null;
  let way = "connecting";
  let stage = page.stage;

  function live(name) {
    return document.querySelector('[data-live="' + name + '"]');
  }

  // The epoch on the slider ---------------------------------------------------------

  // A long history is thinned: take the nearest epoch that is not later.
  function entryAt(epoch) {
    let found = history[0];
    for (const entry of history) {
      if (entry.epoch > epoch) {
        break;
      }
      found = entry;
    }
    return found;
  }

  // The marks of an epoch as shapes, as nasweb/figures/heat.py makes them.
  function shapesOf(marked, templates, columns) {
    function shape(kind, row, first, last) {
      const corners = { x0: first - 0.5, x1: last + 0.5, y0: row - 0.5, y1: row + 0.5 };
      return Object.assign({}, templates[kind], corners);
    }
    const found = [];
    marked.gone.forEach(function (at) {
      found.push(shape("gone", at[0], at[1], at[1]), shape("stroke", at[0], at[1], at[1]));
    });
    marked.decided.forEach(function (at) {
      found.push(shape("decided", at[0], 0, columns - 1));
    });
    return found.concat(framed(marked.taken, templates));
  }

  function framed(fields, templates) {
    return fields.map(function (at) {
      const corners = { x0: at[1] - 0.5, x1: at[1] + 0.5, y0: at[0] - 0.5, y1: at[0] + 0.5 };
      return Object.assign({}, templates.taken, corners);
    });
  }

  // What the hover adds to a value: out of reach, or since when the edge is decided.
  function wordsOf(entry, rows, columns) {
    const words = Array.from({ length: rows }, function () { return Array(columns).fill(""); });
    entry.marks.gone.forEach(function (at) {
      words[at[0]][at[1]] = "<br>this edge may take it no more";
    });
    entry.marks.decided.forEach(function (at) {
      const since = decidedSince(entry, at);
      words[at[0]] = words[at[0]].map(function (word, column) {
        return column === at[1] ? "<br>decided at epoch " + since : word;
      });
    });
    return words;
  }

  // The first of the epochs without a gap before this one in which the edge is decided.
  function decidedSince(entry, at) {
    let first = entry.epoch;
    for (let place = history.indexOf(entry); place >= 0; place -= 1) {
      const same = history[place].marks.decided.some(function (other) {
        return other[0] === at[0] && other[1] === at[1];
      });
      if (!same) {
        break;
      }
      first = history[place].epoch;
    }
    return first;
  }

  function noteOf(marked, words) {
    const said = ["taken", "gone", "decided"].filter(function (kind) { return marked[kind].length; });
    return said.concat(["scale"]).map(function (kind) { return words[kind]; }).join(" · ");
  }

  function showEpoch(epoch) {
    const entry = entryAt(epoch);
    if (!entry) {
      return;
    }
    const figure = charts.figure("alpha");
    const trace = figure.data[0];
    trace.z = [].concat.apply([], Object.values(entry.strengths));
    trace.texttemplate = "%{z:." + entry.digits + "f}";
    trace.customdata = wordsOf(entry, trace.z.length, page.columns.length);
    figure.layout.shapes = shapesOf(entry.marks, figure.layout.meta.marks, page.columns.length);
    figure.note = noteOf(entry.marks, figure.layout.meta.words);
    figure.empty = "";
    charts.draw("alpha", figure);
    showImportance(entry);
    showCell(entry);
    document.getElementById("epoch-shown").textContent = entry.epoch;
    slider.setAttribute("aria-valuetext", page.word + " " + entry.epoch);
  }

  function showImportance(entry) {
    const figure = charts.figure("importance");
    if (!figure) {
      return;
    }
    const tables = entry.method.importance;
    if (tables) {
      const rows = [].concat.apply([], Object.values(tables));
      figure.data[0].z = rows.map(function (row) {
        return row.map(function (value) { return value === null ? null : 100 * value; });
      });
      figure.layout.shapes = framed(entry.marks.missed, figure.layout.meta.marks);
    }
    figure.empty = tables ? "" : figure.layout.meta.empty;
    charts.draw("importance", figure);
  }

  function showCell(entry) {
    const kind = document.querySelector('[name="cell-kind"]:checked').value;
    const cell = entry[kind];
    window.nasweb.cell.draw(document.getElementById("cell-graph"), cell, page.operations);
    const facts = [window.nasweb.cell.summary(cell, page.operations)];
    if (kind === "cell" && entry.parameters) {
      facts.push((entry.parameters / 1e6).toFixed(2) + " M parameters");
    }
    if (kind === "cell" && entry.flops) {
      facts.push((entry.flops / 1e6).toFixed(0) + " M multiply-adds");
    }
    if (entry.genotype === entry.genotype_without_none) {
      facts.push("takes no none");
    }
    document.getElementById("cell-note").textContent = facts.join(" · ");
    document.getElementById("cell-epoch").textContent = " of " + page.word + " " + entry.epoch;
    document.getElementById("cell-warning").hidden = entry.connected !== false || kind !== "cell";
    document.getElementById("cell-empty").hidden = true;
  }

  function newest() {
    return history.length ? history[history.length - 1].epoch : 0;
  }

  // What arrives --------------------------------------------------------------------

  function takeEpoch(message) {
    if (message.epoch <= after) {
      return;
    }
    after = message.epoch;
    message.tiles.forEach(showTile);
    if (message.alert) {
      showAlert(message.alert);
    }
    if (!charts || !charts.read("figures")) {
      return;
    }
    charts.extendAll(message.point);
    Object.keys(message.charts).forEach(function (name) {
      const figure = message.charts[name];
      if (figure.card && !document.querySelector('[data-chart="' + name + '"]')) {
        addCard(name, figure.card);
      }
      charts.draw(name, figure);
    });
    takeStage(message.point);
    if (Object.keys(message.point.events || {}).length) {
      samplesChanged();
    }
    if (slider) {
      history.push(message.point);
      slider.disabled = false;
      slider.max = message.epoch;
      if (follow.checked) {
        slider.value = message.epoch;
        showEpoch(message.epoch);
      }
    }
  }

  function samplesChanged() {
    document.body.dispatchEvent(new CustomEvent("samples-changed"));
  }

  // A chart of what the method tells for the first time.
  function addCard(name, card) {
    const place = document.getElementById("method-charts");
    if (!place) {
      return;
    }
    const added = document.getElementById("method-card").content.cloneNode(true);
    added.querySelector("section").setAttribute("aria-labelledby", "title-" + name);
    added.querySelector("h2").id = "title-" + name;
    added.querySelector("h2").textContent = card.title;
    added.querySelector(".card-note").textContent = card.note;
    added.querySelector("[data-chart]").dataset.chart = name;
    added.querySelector("[data-chart]").setAttribute("aria-label", card.title + ": " + card.note);
    added.querySelector("[data-empty]").dataset.empty = name;
    place.appendChild(added);
  }

  function takeStage(point) {
    const now = point.method.stage;
    if (now !== null && now !== undefined && now !== stage) {
      if (stage !== null) {
        charts.markAll("stage", point.epoch - 0.5, "stage " + now);
      }
      stage = now;
    }
  }

  function showTile(tile) {
    const element = document.querySelector('[data-tile="' + tile.key + '"]');
    element.dataset.tone = tile.tone;
    ["label", "value", "unit", "note"].forEach(function (part) {
      element.querySelector('[data-part="' + part + '"]').textContent = tile[part];
    });
  }

  // A cell without weights: said as soon as it is one, taken back when it is none.
  function showAlert(alert) {
    const line = live("alert");
    line.dataset.tone = alert.tone;
    line.textContent = alert.words;
    line.hidden = !alert.words;
  }

  function takeState(state) {
    live("badge").dataset.tone = state.tone;
    live("sign").textContent = state.sign;
    live("label").textContent = state.label;
    live("where").textContent = state.where;
    live("summary").textContent = state.summary;
    live("progress").value = state.share;
    live("progress").dataset.tone = state.tone;
    live("error").textContent = state.error;
    live("error").hidden = !state.error;
    document.querySelectorAll("[data-states]").forEach(function (form) {
      form.hidden = !form.dataset.states.split(" ").includes(state.state);
    });
    if (!after) {
      document.querySelectorAll("[data-waiting], .chart-empty").forEach(function (line) {
        if (line.dataset.waiting !== undefined || line.textContent === waiting) {
          line.textContent = state.waiting;
        }
      });
      waiting = state.waiting;
    }
    takeLog(state.log_tail);
    if (state.found !== page.found) {
      page.found = state.found;
      document.body.dispatchEvent(new CustomEvent("found-changed"));
    }
    if (state.chosen > page.chosen) {
      page.chosen = state.chosen;
      showTile(state.tile);
      samplesChanged();
    }
    if (state.terminal) {
      way = "the run has ended";
      state.tiles.forEach(showTile);
      showAlert(state.alert);
    }
  }

  // Follow the end of the log unless the reader has scrolled up.
  function takeLog(text) {
    const log = document.getElementById("log");
    if (!log || text === undefined || text === log.textContent) {
      return;
    }
    const atEnd = log.hidden || log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    log.textContent = text;
    log.hidden = !text;
    document.getElementById("log-empty").hidden = Boolean(text);
    if (atEnd) {
      log.scrollTop = log.scrollHeight;
    }
  }

  function noteTime() {
    if (way === "live" || way === "asking every " + ASK_SECONDS + " s") {
      const seconds = heard === null ? null : Math.round((Date.now() - heard) / 1000);
      live("heard").textContent = way + (seconds === null ? "" : " · last event " + ago(seconds) + " ago");
    } else {
      live("heard").textContent = way;
    }
  }

  function ago(seconds) {
    return seconds < 100 ? seconds + " s" : Math.round(seconds / 60) + " min";
  }

  // The ways to hear ----------------------------------------------------------------

  function listen() {
    if (!window.EventSource) {
      ask();
      return;
    }
    const source = new EventSource(page.stream + "?after=" + after);
    let failures = 0;
    source.addEventListener("open", function () {
      failures = 0;
      way = "live";
    });
    source.addEventListener("epoch", function (event) {
      heard = Date.now();
      takeEpoch(JSON.parse(event.data));
    });
    source.addEventListener("state", function (event) {
      heard = Date.now();
      takeState(JSON.parse(event.data));
    });
    source.addEventListener("end", function () {
      source.close();
    });
    source.addEventListener("error", function () {
      failures += 1;
      way = "reconnecting";
      if (source.readyState === EventSource.CLOSED || failures > MOST_FAILURES) {
        source.close();
        ask();
      }
    });
  }

  // One question at a time; the next is asked when the last was answered.
  async function ask() {
    for (;;) {
      let again = false;
      try {
        const response = await fetch(page.epochs + "?after=" + after, { credentials: "same-origin" });
        if (response.redirected || response.status === 404) {
          way = "you were logged out, or the run is gone: reload the page";
          return;
        }
        if (!response.ok) {
          throw new Error("status " + response.status);
        }
        const news = await response.json();
        way = "asking every " + ASK_SECONDS + " s";
        heard = Date.now();
        news.epochs.forEach(takeEpoch);
        takeState(news.state);
        if (news.state.terminal && !news.epochs.length) {
          return;
        }
        again = news.epochs.length > 0 && news.state.epoch > after;
      } catch (error) {
        way = "the site does not answer; asking again";
      }
      if (!again) {
        await new Promise(function (go) { setTimeout(go, ASK_SECONDS * 1000); });
      }
    }
  }

  // What was drawn anew brings its charts: the table of architectures that which marks
  // them, the events of a set those of the event that is shown.
  document.body.addEventListener("htmx:load", function (event) {
    const part = event.detail.elt.id;
    const figure = part === "found" && charts && charts.read("found-figure");
    if (figure) {
      charts.draw("magnitudes", figure);
    }
    if (part === "told") {
      drawTold();
    }
  });

  function drawTold() {
    const figures = charts && charts.read("told-figures");
    if (figures) {
      charts.drawAll(figures);
    }
  }

  // Begin ---------------------------------------------------------------------------

  if (charts && charts.read("figures")) {
    charts.drawAll(charts.read("figures"));
    drawTold();
  }
  if (slider) {
    if (history.length) {
      // a run that went back opens at the epoch of its result
      const opens = follow.checked ? newest() : Number(slider.value);
      slider.value = opens;
      showEpoch(opens);
    }
    slider.addEventListener("input", function () {
      follow.checked = false;
      showEpoch(Number(slider.value));
    });
    follow.addEventListener("change", function () {
      if (follow.checked && history.length) {
        slider.value = newest();
        showEpoch(newest());
      }
    });
    document.querySelectorAll('[name="cell-kind"]').forEach(function (choice) {
      choice.addEventListener("change", function () { showEpoch(Number(slider.value)); });
    });
    document.addEventListener("themechange", function () {
      if (history.length) {
        showEpoch(Number(slider.value));
      }
    });
  }
  document.querySelectorAll("[data-cell]").forEach(function (place) {
    if (history.length) {
      window.nasweb.cell.draw(place, history[history.length - 1][place.dataset.cell], page.operations);
    }
  });
  if (page.terminal) {
    way = "the run has ended";
  } else {
    listen();
  }
  setInterval(noteTime, 1000);
})();
