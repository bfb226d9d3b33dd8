// The compare page: draw its charts; every switch is a link.
(function () {
  "use strict";
  const figures = window.nasweb.charts.read("figures");
  if (figures) {
    window.nasweb.charts.drawAll(figures);
  }
})();
