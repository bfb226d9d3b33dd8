// Draw a cell as a graph: a node is a feature map, an arrow an operation. Colour and
// line style say which; the name stands on the arrow.
(function () {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 440;
  const HEIGHT = 300;
  const MIDDLE = 0.5;
  const ASIDE = 0.3;
  const LOW = 0.64;
  const RADIUS = 17;
  const DASHES = { solid: "", dot: "2 5", dash: "7 5", longdash: "12 5", dashdot: "9 4 2 4", longdashdot: "14 4 2 4" };

  function make(name, attributes, parent) {
    const element = document.createElementNS(SVG, name);
    Object.keys(attributes).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    if (parent) {
      parent.appendChild(element);
    }
    return element;
  }

  // Input on the left, output on the right, the others in turn above and below.
  function places(count) {
    const found = [];
    for (let node = 0; node < count; node += 1) {
      const inner = node > 0 && node < count - 1;
      const x = count === 4 && inner ? WIDTH / 2 : 36 + (node * (WIDTH - 72)) / (count - 1);
      const y = !inner ? 140 : node % 2 ? 50 : 205;
      found.push({ x: x, y: y });
    }
    return found;
  }

  // Straight where the way is free; from input to output in an arc below.  The word on
  // it stands at the share ``at`` of its length.
  function way(from, to, arc, at) {
    const control = arc
      ? { x: (from.x + to.x) / 2, y: HEIGHT + 95 }
      : { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
    const start = towards(from, control, RADIUS + 2);
    const end = towards(to, control, RADIUS + 7);
    const weights = [(1 - at) * (1 - at), 2 * at * (1 - at), at * at];
    const word = {
      x: weights[0] * start.x + weights[1] * control.x + weights[2] * end.x,
      y: weights[0] * start.y + weights[1] * control.y + weights[2] * end.y,
    };
    return {
      path: "M" + start.x + " " + start.y + " Q" + control.x + " " + control.y + " " + end.x + " " + end.y,
      word: word,
    };
  }

  // At which share of an edge its word stands. In a cell of five nodes, edges cross: the
  // word on a long one stands near the input or the output, and that between two inner
  // nodes near the lower of them.
  function wordAt(ends, nodes, arc) {
    const last = nodes.length - 1;
    if (arc || last < 4) {
      return MIDDLE;
    }
    if (ends.target - ends.source > 2) {
      return ends.source === 0 ? ASIDE : 1 - ASIDE;
    }
    const steep = ends.source > 0 && ends.target < last && ends.target - ends.source === 1;
    if (!steep) {
      return MIDDLE;
    }
    return nodes[ends.target].y > nodes[ends.source].y ? LOW : 1 - LOW;
  }

  function towards(from, to, distance) {
    const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
    return { x: from.x + ((to.x - from.x) * distance) / length, y: from.y + ((to.y - from.y) * distance) / length };
  }

  function ends(row) {
    const found = /^(\d+)←(\d+)$/.exec(row);
    return found ? { target: Number(found[1]), source: Number(found[2]) } : null;
  }

  function styleOf(operations, name) {
    return operations[name] || { label: name, colour: "var(--chart-ink)", dash: "solid" };
  }

  function sentence(cell, operations) {
    return cell.map(function (edge) {
      return edge[1] + " " + styleOf(operations, edge[2]).label;
    }).join(", ");
  }

  function draw(place, cell, operations) {
    const edges = cell.map(function (edge) { return { ends: ends(edge[1]), operation: edge[2] }; });
    place.replaceChildren();
    if (!edges.length) {
      return;
    }
    if (edges.some(function (edge) { return !edge.ends; })) {
      place.textContent = sentence(cell, operations);
      return;
    }
    const count = 1 + Math.max.apply(null, edges.map(function (edge) { return edge.ends.target; }));
    const nodes = places(count);
    const svg = make("svg", { viewBox: "0 0 " + WIDTH + " " + HEIGHT, role: "img", "aria-label": "Cell: " + sentence(cell, operations) });
    const defs = make("defs", {}, svg);
    const labels = [];
    edges.forEach(function (edge, position) {
      const style = styleOf(operations, edge.operation);
      const id = "tip-" + position + "-" + Math.random().toString(36).slice(2);
      const marker = make("marker", { id: id, viewBox: "0 0 8 8", refX: 4, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto" }, defs);
      make("path", { d: "M0 0 L8 4 L0 8 z" }, marker).style.fill = style.colour;
      const arc = count > 2 && edge.ends.source === 0 && edge.ends.target === count - 1;
      const at = wordAt(edge.ends, nodes, arc);
      const line = way(nodes[edge.ends.source], nodes[edge.ends.target], arc, at);
      const path = make("path", { d: line.path, fill: "none", "stroke-width": edge.operation === "none" ? 1.2 : 2.2, "stroke-dasharray": DASHES[style.dash] || "", "marker-end": "url(#" + id + ")" }, svg);
      path.style.stroke = style.colour;
      if (edge.operation === "none") {
        path.setAttribute("class", "cell-none");
      }
      labels.push({ at: line.word, text: style.label, none: edge.operation === "none" });
    });
    labels.forEach(function (label) {
      const text = make("text", { x: label.at.x, y: label.at.y + 4, class: label.none ? "cell-label cell-none" : "cell-label" }, svg);
      text.textContent = label.text;
    });
    nodes.forEach(function (node, number) {
      make("circle", { cx: node.x, cy: node.y, r: RADIUS, class: "cell-node" }, svg);
      make("text", { x: node.x, y: node.y + 4.5, class: "cell-number" }, svg).textContent = String(number);
    });
    place.appendChild(svg);
  }

  // "5 × conv 3×3 · 1 × skip"
  function summary(cell, operations) {
    const counts = new Map();
    cell.forEach(function (edge) { counts.set(edge[2], (counts.get(edge[2]) || 0) + 1); });
    return Array.from(counts.entries())
      .sort(function (a, b) { return b[1] - a[1]; })
      .map(function (each) { return each[1] + " × " + styleOf(operations, each[0]).label; })
      .join(" · ");
  }

  window.nasweb = window.nasweb || {};
  window.nasweb.cell = { draw: draw, summary: summary };
})();
