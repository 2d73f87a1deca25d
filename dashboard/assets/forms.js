// Forms of the pages: one kind asks (its values become the address), the other acts (its values go
// to an action of the dashboard, which asks the server). Nothing is sent by the browser itself.
(function () {
  "use strict";
  var HOLD_MS = 12000; // A sentence stays so long.
  var LIMIT_MS = 35000; // The server has 30 seconds to answer the dashboard.
  var fading = 0, pressed = null; // The action that draws the page anew, which takes the focus away.

  // Something is typed: drawing the page anew would take it away.
  function hold(wanted) {
    document.dispatchEvent(new CustomEvent("driftline-hold", { detail: wanted }));
  }
  function say(text, fault) {
    var said = document.getElementById("said");
    if (!said) return;
    said.textContent = text;
    said.className = text ? (fault ? "fault" : "fine") : "";
    clearTimeout(fading);
    if (text) fading = setTimeout(function () { say("", false); }, HOLD_MS);
  }
  // Stays until the page was looked at again, or left: what is true now is on the page alone.
  function notice(words, way) {
    var said = document.getElementById("said");
    clearTimeout(fading);
    said.className = "fault";
    said.replaceChildren(words, way);
  }
  // Leads to the log-in and back; the page stays as it is, with what was typed.
  function ended() {
    var link = document.createElement("a");
    link.href = "/login?next=" + encodeURIComponent(location.pathname + location.search + location.hash);
    link.target = "_self"; // No page of Dash: the browser itself is to open it.
    link.textContent = "Log in again";
    notice("Your session has ended. ", link);
    hold(true);
  }
  function unanswered(text) {
    var button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = "Refresh the page";
    button.addEventListener("click", function () {
      say("", false);
      document.dispatchEvent(new CustomEvent("driftline-refresh"));
    });
    notice(text, button);
  }
  // Does what belongs to the nearest element around an event that fits; pages.js uses it, too.
  window.driftlineOn = on;
  function on(kind, selector, act) {
    document.addEventListener(kind, function (event) {
      var found = event.target.closest && event.target.closest(selector);
      if (found) act(found, event);
    });
  }
  function post(path, body) {
    var headers = { "content-type": "application/json" }, person = document.querySelector("[data-csrf]");
    if (person) headers["x-csrf-token"] = person.dataset.csrf;
    return fetch(path, {
      method: "POST", headers: headers, body: JSON.stringify(body), signal: AbortSignal.timeout(LIMIT_MS),
    });
  }
  function values(form) {
    var found = {};
    form.querySelectorAll("input[name], select[data-name]").forEach(function (box) {
      found[box.name || box.dataset.name] = box.value;
    });
    return found;
  }

  function ask(form) {
    var url = new URL(form.dataset.to || "", location.href), found = values(form);
    Object.keys(found).forEach(function (name) {
      if (found[name].trim()) url.searchParams.set(name, found[name].trim()); else url.searchParams.delete(name);
    });
    url.hash = form.dataset.anchor || "";
    document.dispatchEvent(new CustomEvent("driftline-go", { detail: url.href }));
  }

  function act(form) {
    var isTried = /^(change|create)$/.test(form.dataset.action);
    if (isTried && document.querySelector("#preview form.ask[data-typed]")) {
      return say("Preview first: what is typed was not tried.", true);
    }
    var body = Object.assign(values(form), JSON.parse(form.dataset.given || "{}"));
    var button = form.querySelector("button"), head = form.closest(".panel");
    var done = { action: form.dataset.action, given: form.dataset.given, title: head && head.querySelector("h2").textContent };
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    post("/actions/" + encodeURIComponent(form.dataset.action), body).then(function (answer) {
      if (answer.status === 401) return null;
      return answer.json().then(function (found) {
        say(answer.ok ? found.said : found.error.message, !answer.ok);
        var isTold = answer.ok || form.dataset.action === "test"; // A failed test stands on the page.
        if (isTold) { pressed = done; hold(false); document.dispatchEvent(new CustomEvent("driftline-refresh")); }
      });
    }).catch(function (error) {
      unanswered(error.name === "TimeoutError"
        ? "No answer for " + LIMIT_MS / 1000 + " seconds; whether it was done is not known. "
        : "The dashboard does not answer; nothing is known to have changed. ");
    }).finally(function () { button.disabled = false; button.removeAttribute("aria-busy"); });
  }

  // A link for somebody else: tomorrow it is to show what it shows now.
  function copy() {
    var url = new URL(location.href), now = window.driftlineNow, asked = url.searchParams;
    var found = /^now-(\d+)([hd])$/.exec(asked.get("from") || "");
    function at(ms) { return new Date(ms).toISOString().slice(0, 19) + "Z"; }
    if (found) asked.set("from", at(now - found[1] * (found[2] === "d" ? 24 : 1) * 3600000));
    if (!asked.get("to") || asked.get("to") === "now") asked.set("to", at(now));
    document.dispatchEvent(new CustomEvent("driftline-go", { detail: url.href }));
    var copied = navigator.clipboard ? navigator.clipboard.writeText(url.href) : Promise.reject();
    copied.then(function () { say("The link is copied; its times are fixed.", false); },
      function () { say("The address has fixed times now: copy it from the bar of the browser.", false); });
  }

  // Whoever goes by keyboard goes on from the same button, else from the panel where it stood.
  document.addEventListener("driftline-drawn", function () {
    var done = pressed;
    pressed = null;
    if (!done || document.activeElement !== document.body) return;
    function first(kind, fits) { return Array.from(document.querySelectorAll("#page " + kind)).find(fits); }
    var same = first("form.act", function (form) { return form.dataset.action === done.action && form.dataset.given === done.given; });
    var panel = first(".panel", function (one) { return one.querySelector("h2").textContent === done.title; }) || first("h1", Boolean);
    panel.tabIndex = -1;
    (same ? same.querySelector("button") : panel).focus({ preventScroll: true });
  });
  document.addEventListener("driftline-ended", ended);
  on("click", "#copy", copy);
  on("click", "#logout", function () {
    post("/logout", {}).then(function (answer) {
      if (answer.ok || answer.status === 401) location.replace("/login");
      else say("Not logged out: reload the page, and try again.", true);
    }).catch(function () { say("The dashboard does not answer; you are still logged in.", true); });
  });
  on("submit", "form.act, form.ask", function (form, event) {
    event.preventDefault();
    if (form.matches(".ask")) { hold(false); delete form.dataset.typed; ask(form); } else act(form);
  });
  // The numbers of a figure, which stand in its button, as a file.
  on("click", "button[data-csv]", function (button) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([button.dataset.csv], { type: "text/csv" }));
    var page = document.querySelector("#page [data-title]");
    var name = (page ? page.dataset.title + " " : "") + button.dataset.name;
    link.download = name.replace(/[^\p{L}\p{N}._]+/gu, "-").replace(/^-|-$/g, "") + ".csv";
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 0);
  });
  // The confusion matrix follows the threshold; the address and the curves do when it is let go.
  on("input", "#at-threshold", function (box, event) {
    if (event.target.type !== "range") return;
    var counts = JSON.parse(box.dataset.counts), at = Math.round(event.target.value * (counts.length - 1));
    var all = counts[0], found = counts[at];
    var rows = [[all[1] - found[1], found[1]], [all[0] - found[0], found[0]]];
    document.getElementById("thr").textContent = (at / (counts.length - 1)).toFixed(2);
    box.querySelectorAll(".matrix td").forEach(function (cell, place) {
      var row = rows[place >> 1], share = row[place & 1] / (row[0] + row[1] || 1);
      cell.firstChild.textContent = Math.round(row[place & 1]).toLocaleString("en");
      cell.lastChild.textContent = (100 * share).toFixed(1) + "%";
      cell.style.setProperty("--strength", 10 + 36 * share + "%");
    });
  });
  on("change", "#at-threshold", function (_, event) {
    var url = new URL(location.href);
    url.searchParams.set("thr", Number(event.target.value).toFixed(2));
    document.dispatchEvent(new CustomEvent("driftline-go", { detail: url.href }));
  });
  on("input", "form.act, form.ask", function (form) { form.dataset.typed = "yes"; hold(true); });
  window.addEventListener("_dashprivate_pushstate", function () { hold(false); });
  window.addEventListener("popstate", function () { hold(false); });
})();
