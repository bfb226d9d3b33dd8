// The queues page: it is drawn anew every few seconds, but never under somebody's hand.
// Administrators move waiting runs by dragging their handle or with the arrow keys, and
// change them in one menu that serves all rows. The server decides; its sentence is shown.
(function () {
  "use strict";
  const list = document.getElementById("queues");
  const told = document.getElementById("told");
  const menu = document.getElementById("job-menu");
  const START_PIXELS = 4; // less is a click with an unsteady hand
  let drag = null;
  let chosen = null; // the row that the menu is about
  let acting = false;

  // Something is open, dragged or typed: the list stays as it is.
  function busy() {
    return drag !== null || acting || (menu && menu.matches(":popover-open")) ||
      list.querySelector("details[open]") !== null ||
      list.querySelector("input:focus, select:focus, textarea:focus") !== null;
  }

  document.body.addEventListener("htmx:beforeRequest", function (event) {
    if (event.detail.elt === list && busy()) {
      event.preventDefault();
    }
  });
  // An answer that was under way when the hand came down.
  document.body.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.requestConfig.elt === list && busy()) {
      event.detail.shouldSwap = false;
    }
  });

  function tell(tone, sentence) {
    const notice = document.createElement("p");
    notice.className = "notice";
    notice.dataset.tone = tone;
    notice.textContent = sentence;
    told.replaceChildren(notice);
  }

  function refresh() {
    return window.htmx.ajax("GET", list.getAttribute("hx-get"), { target: list, swap: "innerHTML" });
  }

  // Ask the server for a verb; show the new order and its sentence.
  async function act(base, verb, values) {
    acting = true;
    try {
      const said = await ask(base + verb + "/", values || {});
      await refresh();
      tell(said.tone, said.message);
    } finally {
      acting = false;
    }
  }

  async function ask(address, values) {
    const body = new FormData();
    Object.keys(values).forEach(function (name) { body.append(name, values[name]); });
    const headers = JSON.parse(document.body.getAttribute("hx-headers"));
    headers.Accept = "application/json";
    try {
      const answer = await fetch(address, { method: "POST", headers: headers, body: body });
      const said = await answer.json();
      return { tone: answer.ok ? (said.changed ? "success" : "info") : "danger", message: said.message };
    } catch (error) {
      return { tone: "danger", message: "The site did not take it. Reload the page, and try again." };
    }
  }

  // Drag ----------------------------------------------------------------------------

  function rowsOf(body) {
    return Array.from(body.querySelectorAll("tr[data-job]"));
  }

  // The row before which a drop at this height puts the dragged one; null: at the end.
  function rowAt(y) {
    return rowsOf(drag.body).find(function (row) {
      const box = row.getBoundingClientRect();
      return y < box.top + box.height / 2;
    }) || null;
  }

  function mark(next) {
    drag.body.querySelectorAll(".drop-before, .drop-after").forEach(function (row) {
      row.classList.remove("drop-before", "drop-after");
    });
    if (next) {
      next.classList.add("drop-before");
    } else {
      drag.body.lastElementChild.classList.add("drop-after");
    }
  }

  function letGo() {
    const last = drag;
    drag = null;
    last.row.classList.remove("dragged");
    last.body.querySelectorAll(".drop-before, .drop-after").forEach(function (row) {
      row.classList.remove("drop-before", "drop-after");
    });
    return last;
  }

  // Which run of the same team and priority comes after the drop: only among these does
  // an order count. A drop that changes nothing among them names a run that it jumped
  // over, and the server says why that cannot be.
  function before(last) {
    const all = rowsOf(last.body);
    const rows = all.filter(function (row) { return row !== last.row; });
    const was = all.indexOf(last.row);
    const at = last.next ? rows.indexOf(last.next) : rows.length;
    const next = function (from) {
      return rows.slice(from).find(function (row) { return row.dataset.group === last.row.dataset.group; }) || null;
    };
    return next(at) === next(was) ? rows[at > was ? at - 1 : at] : next(at);
  }

  list.addEventListener("pointerdown", function (event) {
    const handle = event.target.closest("[data-handle]");
    if (!handle || event.button !== 0) {
      return;
    }
    const row = handle.closest("tr");
    drag = { row: row, body: row.parentElement, from: event.clientY, moved: false, next: row, pointer: event.pointerId };
    handle.setPointerCapture(event.pointerId);
  });

  list.addEventListener("pointermove", function (event) {
    if (!drag || event.pointerId !== drag.pointer) {
      return;
    }
    if (!drag.moved && Math.abs(event.clientY - drag.from) < START_PIXELS) {
      return;
    }
    drag.moved = true;
    drag.row.classList.add("dragged");
    drag.next = rowAt(event.clientY);
    mark(drag.next);
  });

  list.addEventListener("pointerup", function (event) {
    if (!drag || event.pointerId !== drag.pointer) {
      return;
    }
    const last = letGo();
    const stays = last.next === last.row || last.next === last.row.nextElementSibling;
    if (!last.moved || stays) {
      return;
    }
    const next = before(last);
    act(last.row.dataset.base, "place", { before: next ? next.dataset.job : "" });
  });

  list.addEventListener("pointercancel", function () {
    if (drag) {
      letGo();
    }
  });

  // Keys ----------------------------------------------------------------------------

  document.addEventListener("keydown", function (event) {
    if (event.key === "Escape" && drag) {
      letGo();
      return;
    }
    const handle = event.target.closest("[data-handle]");
    const verb = { ArrowUp: "up", ArrowDown: "down" }[event.key];
    if (handle && verb && !acting) {
      event.preventDefault();
      act(handle.closest("tr").dataset.base, verb);
    }
  });

  // Menu ----------------------------------------------------------------------------

  function open(button) {
    const row = button.closest("tr");
    chosen = row.dataset;
    menu.querySelector("#job-menu-title").textContent = chosen.title;
    menu.querySelector("[data-details]").href = chosen.base;
    menu.querySelector("#job-menu-priority").value = chosen.priority;
    menu.querySelector("#job-menu-reason").value = "";
    menu.querySelector("details").open = false;
    const queue = menu.querySelector("#job-menu-queue");
    if (queue) {
      queue.value = chosen.queue;
    }
    const held = "held" in chosen;
    menu.querySelectorAll("[data-if-held]").forEach(function (part) { part.hidden = !held; });
    menu.querySelectorAll("[data-unless-held]").forEach(function (part) { part.hidden = held; });
    menu.dataset.opener = button.id;
    menu.showPopover();
    const box = button.getBoundingClientRect();
    const left = Math.min(box.right, window.innerWidth - 8) - menu.offsetWidth;
    const under = box.bottom + 4;
    const fits = under + menu.offsetHeight < window.innerHeight;
    menu.style.left = Math.max(8, left) + "px";
    menu.style.top = Math.max(8, fits ? under : box.top - menu.offsetHeight - 4) + "px";
    menu.querySelector("button").focus();
  }

  function choose(verb, values) {
    const base = chosen.base;
    menu.hidePopover();
    act(base, verb, values).then(function () {
      const opener = document.getElementById(menu.dataset.opener);
      if (opener) {
        opener.focus();
      }
    });
  }

  if (menu) {
    list.addEventListener("click", function (event) {
      const button = event.target.closest("[data-menu]");
      if (button) {
        event.preventDefault();
        open(button);
      }
    });
    list.addEventListener("keydown", function (event) {
      if (event.key === " " && event.target.matches("[data-menu]")) {
        event.preventDefault();
        open(event.target);
      }
    });
    menu.addEventListener("click", function (event) {
      const button = event.target.closest("button[data-verb]");
      if (button) {
        choose(button.dataset.verb);
      }
    });
    menu.addEventListener("submit", function (event) {
      event.preventDefault();
      choose(event.target.dataset.verb, Object.fromEntries(new FormData(event.target)));
    });
    // It would hang in the air if the page moved under it.
    window.addEventListener("scroll", function () { menu.hidePopover(); });
    window.addEventListener("resize", function () { menu.hidePopover(); });
  }
})();
