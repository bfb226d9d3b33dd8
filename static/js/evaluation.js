// The curve of a training grows while it goes on.
(function () {
  "use strict";
  const page = window.nasweb.charts.read("page-data");
  let epoch = page.epoch;

  function ask() {
    fetch(page.points + "?after=" + epoch, { headers: { Accept: "application/json" } })
      .then(function (answer) { return answer.ok ? answer.json() : Promise.reject(); })
      .then(function (news) {
        news.points.forEach(function (point) {
          window.nasweb.charts.extendAll(point);
          epoch = point.epoch;
        });
        return news.over;
      })
      .catch(function () { return false; })
      .then(function (over) {
        if (!over) {
          window.setTimeout(ask, 2000);
        }
      });
  }

  if (!page.over) {
    window.setTimeout(ask, 1000);
  }
})();
