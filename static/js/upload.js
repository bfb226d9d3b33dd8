// The upload form: a file that is too large is told before it is sent, and while one
// is sent the page says how far it is.
(function () {
  "use strict";
  const form = document.getElementById("upload");
  const file = document.getElementById("f-file");
  const error = document.getElementById("f-file-error");
  const state = document.getElementById("upload-state");

  function tell(sentence) {
    error.textContent = sentence;
    error.hidden = !sentence;
    file.toggleAttribute("aria-invalid", Boolean(sentence));
    if (sentence) {
      file.setAttribute("aria-invalid", "true");
    }
  }

  function fault() {
    const most = Number(file.dataset.most);
    const size = file.files.length ? file.files[0].size / 1e6 : 0;
    return size > most
      ? "The file has " + Math.ceil(size).toLocaleString("en") + " MB, and "
        + most.toLocaleString("en") + " MB are allowed; send fewer images."
      : "";
  }

  file.addEventListener("change", function () { tell(fault()); });

  let sending = false;
  form.addEventListener("submit", function (event) {
    const sentence = fault();
    if (sentence || sending) {
      event.preventDefault();
      tell(sentence);
      return;
    }
    sending = true;
    state.textContent = "The file is being sent and unpacked; this page stays until "
      + "that is done …";
  });
  window.addEventListener("pageshow", function () {
    sending = false;
    state.textContent = "";
  });
})();
