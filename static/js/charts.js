// Draw the figures that nasweb/figures makes, extend them, repaint them when the
// theme changes. Colours in a figure are written var(--token); the value comes from
// the style sheet in force.
(function () {
  "use strict";
  const CONFIG = {
    responsive: true,
    displaylogo: false,
    showLink: false,
    showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" },
  };
  const figures = new Map(); // name -> the figure as it came, and as it has grown

  function paint(value, style) {
    if (typeof value === "string") {
      if (value.startsWith("soft(")) {
        return soften(paint(value.slice(5, -1), style));
      }
      if (!value.startsWith("var(--")) {
        return value;
      }
      const token = value.slice(4, -1);
      return resolve(style.getPropertyValue(token).trim(), style);
    }
    if (Array.isArray(value)) {
      return value.map(function (each) { return paint(each, style); });
    }
    if (value && typeof value === "object") {
      const painted = {};
      Object.keys(value).forEach(function (key) { painted[key] = paint(value[key], style); });
      return painted;
    }
    return value;
  }

  // A token may be set to another token.
  function resolve(value, style) {
    return value.startsWith("var(--") ? paint(value, style) : value;
  }

  // "#2457d6" as a see-through area
  function soften(colour) {
    const parts = [1, 3, 5].map(function (at) { return parseInt(colour.slice(at, at + 2), 16); });
    return "rgba(" + parts.join(",") + ",0.16)";
  }

  function painted(value) {
    return paint(value, getComputedStyle(document.documentElement));
  }

  function elementOf(name) {
    return document.querySelector('[data-chart="' + name + '"]');
  }

  // A chart stands on one choice of several (T or V): the others are not drawn.
  function chosen(element) {
    const group = element.closest("[data-sets]");
    return !group || element.dataset.chart.endsWith("-" + group.querySelector("select").value);
  }

  function draw(name, figure) {
    figures.set(name, figure);
    const element = elementOf(name);
    if (!element) {
      return;
    }
    const shown = chosen(element);
    const empty = document.querySelector('[data-empty="' + name + '"]');
    empty.textContent = figure.empty;
    empty.hidden = !(shown && figure.empty);
    element.hidden = !shown || Boolean(figure.empty);
    if (shown) {
      note(element, figure);
    }
    if (!element.hidden) {
      Plotly.react(element, painted(figure.data), painted(figure.layout), CONFIG);
      sizes.observe(element);
    }
  }

  // A card may change its height with its neighbour, which no window event tells.
  const sizes = new ResizeObserver(function (entries) {
    entries.forEach(function (entry) {
      const element = entry.target;
      if (element.data && element.offsetParent && Math.abs(element._fullLayout.height - entry.contentRect.height) > 1) {
        Plotly.Plots.resize(element);
      }
    });
  });

  function note(element, figure) {
    const line = element.closest("section").querySelector("[data-note]");
    if (line && figure.note) {
      line.textContent = figure.note;
    }
  }

  function pick(point, field) {
    return field.split(".").reduce(function (value, part) {
      return value === null || value === undefined ? null : value[part];
    }, point);
  }

  // Move the marks of the highest points to where the lines are highest now.
  function findPeaks(figure) {
    const marks = figure.data.find(function (trace) { return trace.meta && trace.meta.peaks; });
    if (!marks) {
      return;
    }
    const lines = figure.data.slice(0, marks.meta.peaks).filter(function (line) { return line.x.length; });
    const tops = lines.map(function (line) { return line.y.indexOf(Math.max.apply(null, line.y)); });
    marks.x = lines.map(function (line, place) { return line.x[tops[place]]; });
    marks.y = lines.map(function (line, place) { return line.y[tops[place]]; });
    marks.text = lines.map(function (line) { return line.name; });
    marks.marker.color = lines.map(function (line) { return line.line.color; });
  }

  // Append one epoch to every trace that says which field it shows.
  function extend(name, point) {
    const figure = figures.get(name);
    const added = { x: [], y: [], customdata: [] };
    const traces = [];
    const modes = [];
    figure.data.forEach(function (trace, position) {
      const grows = trace.meta && trace.meta.field;
      const value = grows ? pick(point, trace.meta.field) : null;
      if (value === null || value === undefined || trace.x[trace.x.length - 1] >= point.epoch) {
        return;
      }
      const detail = trace.meta.detail ? pick(point, trace.meta.detail) : "";
      trace.x.push(point.epoch);
      trace.y.push(value * trace.meta.scale);
      (trace.customdata = trace.customdata || []).push(detail);
      if (trace.mode !== trace.meta.mode && trace.x.length > 1) {
        trace.mode = trace.meta.mode;
        modes.push(position);
      }
      added.x.push([point.epoch]);
      added.y.push([value * trace.meta.scale]);
      added.customdata.push([detail]);
      traces.push(position);
    });
    if (!traces.length) {
      return;
    }
    const element = elementOf(name);
    const marked = figure.data.some(function (trace) { return trace.meta && trace.meta.peaks; });
    findPeaks(figure);
    if (figure.empty || modes.length || marked || !element.data) {
      figure.empty = "";
      draw(name, figure);
      return;
    }
    const update = { x: added.x, y: added.y };
    if (traces.every(function (position) { return element.data[position].customdata; })) {
      update.customdata = added.customdata;
    } else {
      traces.forEach(function (position, place) {
        if (element.data[position].customdata) {
          element.data[position].customdata.push(added.customdata[place][0]);
        }
      });
    }
    Plotly.extendTraces(element, update, traces);
  }

  // A line across every figure whose layout has templates of that kind.
  function markAll(kind, x, words) {
    figures.forEach(function (figure, name) {
      const shape = figure.layout;
      const templates = shape.meta && shape.meta[kind];
      if (!templates) {
        return;
      }
      shape.shapes = (shape.shapes || []).concat(Object.assign({}, templates.line, { x0: x, x1: x }));
      shape.annotations = (shape.annotations || []).concat(
        Object.assign({}, templates.words, { x: x, text: words }));
      draw(name, figure);
    });
  }

  function grows(figure) {
    return figure.data.some(function (trace) { return trace.meta && trace.meta.field; });
  }

  function repaint() {
    figures.forEach(function (figure, name) { draw(name, figure); });
  }

  document.addEventListener("themechange", repaint);
  document.addEventListener("change", function (event) {
    const group = event.target.closest("[data-sets]");
    if (group) {
      group.querySelectorAll("[data-chart]").forEach(function (element) {
        draw(element.dataset.chart, figures.get(element.dataset.chart));
      });
    }
  });

  window.nasweb = window.nasweb || {};
  window.nasweb.charts = {
    draw: draw,
    drawAll: function (all) {
      Object.keys(all).forEach(function (name) { draw(name, all[name]); });
    },
    extendAll: function (point) {
      figures.forEach(function (figure, name) {
        if (grows(figure)) {
          extend(name, point);
        }
      });
    },
    markAll: markAll,
    figure: function (name) { return figures.get(name); },
    read: function (id) {
      const element = document.getElementById(id);
      return element ? JSON.parse(element.textContent) : null;
    },
  };
})();
