// A page whose charts are drawn once and do not grow.
(function () {
  "use strict";
  const figures = window.nasweb.charts.read("figures");
  if (figures) {
    window.nasweb.charts.drawAll(figures);
  }
})();
