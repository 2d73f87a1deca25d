// Keeps an open page true: asks for it again, never while an answer is awaited, and says so where
// none comes. Dash's own timer cannot: it asks although an answer is on its way, which drops that
// answer, and what a callback sets while it runs stays set when the server is gone.
(function () {
  "use strict";
  var CALL = "/_dash-update-component";
  var BUSY_MS = 150, LATE_MS = 10000; // After a click: a bar, then a panel.
  var LOST_MS = 120000; // So long an answer is awaited.
  var asked = null; // The newest call: since when, and whether somebody waits for it.
  var wanted = true; // Whether the next call is one that somebody waits for.
  var held = false; // A form is being filled in, which a page drawn anew would take away.
  var ticks = 0, tried = Date.now(), answered = Date.now(), asOf = "", drawn = null;

  function period() {
    // A page on which something runs asks more often than the others.
    var page = document.querySelector("#page [data-refresh-ms]") || document.getElementById("main");
    return page ? Number(page.dataset.refreshMs) : Infinity;
  }
  function place() { return location.pathname + location.search; }
  function ask() {
    tried = Date.now();
    if (window.dash_clientside.set_props) window.dash_clientside.set_props("tick", { data: ++ticks });
  }
  function askNow() { held = false; wanted = true; failure = null; ask(); }

  var failure = null; // Why the page could not be had, as a heading and a sentence.
  var isEnded = false; // The session.
  var AWAY = "The dashboard may have stopped, or the connection to it is lost. On its machine, “driftline up” starts it.";

  function begin(options) {
    var call = { at: Date.now(), stop: new AbortController() };
    try {
      var changed = JSON.parse(options.body).changedPropIds;
      call.isWanted = wanted || changed.length !== 1 || changed[0] !== "tick.data";
    } catch (_) { call.isWanted = true; }
    wanted = false;
    asked = call;
    if (call.isWanted) { failure = null; setTimeout(show, BUSY_MS); }
    show();
    return call;
  }
  function fail(call, status) {
    if (asked !== call) return;
    asked = null;
    isEnded = status === 401; // The way to the log-in stands at the foot of the page.
    if (isEnded) failure = null;
    else if (call.isWanted && status) failure = ["The dashboard could not answer (HTTP " + status + ")", "Its log has the details."];
    else if (call.isWanted) failure = ["The dashboard does not answer", AWAY];
    show();
  }

  var send = window.fetch;
  window.fetch = function (url, options) {
    var isCall = typeof url === "string" && url.indexOf(CALL) >= 0;
    var call = isCall ? begin(options) : null;
    var more = call ? Object.assign({}, options, { signal: call.stop.signal }) : options;
    if (driftlineZone() && (isCall || String(url).indexOf("/actions/") === 0)) {
      more = Object.assign({}, more, { headers: Object.assign({}, more.headers, { "x-time-zone": driftlineZone() }) });
    }
    return send.call(window, url, more).then(function (answer) {
      // A session that has ended is told by whichever call comes next: forms.js says so.
      if (answer.status === 401) {
        document.dispatchEvent(new CustomEvent("driftline-ended"));
        var body = answer.text();
        answer.text = function () { return body; }; // Dash reads it twice, which fails.
      }
      if (call && !answer.ok) fail(call, answer.status);
      return answer;
    }, function (error) {
      if (call) fail(call, 0);
      throw error;
    });
  };

  function button(words) {
    var made = text("button", words);
    made.type = made.className = "button";
    made.addEventListener("click", askNow);
    return made;
  }
  // Writes only what has changed: a reader of the screen would hear it again each second.
  function write(id, key, parts) {
    var box = document.getElementById(id);
    if (!box || (box.dataset.key || "") === key) return;
    box.dataset.key = key;
    box.replaceChildren.apply(box, key ? parts() : []);
  }
  function text(kind, words) {
    var made = document.createElement(kind);
    made.textContent = words;
    return made;
  }

  function show() {
    var main = document.getElementById("main");
    if (!main) return;
    var now = Date.now(), waits = asked && asked.isWanted ? now - asked.at : 0;
    var told = failure || (waits >= LATE_MS
      ? ["No answer for " + LATE_MS / 1000 + " seconds", "The page appears as soon as the answer comes. " + AWAY] : null);
    var isOld = now - answered >= 2 * period() + 2000; // Two refreshes failed, or are late.
    var banner = isOld && asOf ? "Not refreshed since " + asOf + (held ? ", while a form is being filled in." : ".") : "";
    var state = told && drawn !== place() ? "lost" : told || isEnded || (isOld && !held) ? "old" : "";
    if (main.dataset.state !== state) main.dataset.state = state;
    var busy = waits >= BUSY_MS ? "true" : "false";
    if (main.getAttribute("aria-busy") !== busy) main.setAttribute("aria-busy", busy);
    write("old", banner, function () { return [text("span", banner), button("Refresh now")]; });
    write("away", told ? [state].concat(told).join("\n") : "", function () {
      return [text(state === "lost" ? "h1" : "h2", told[0]), text("p", told[1]), button("Retry")];
    });
  }

  setInterval(function () {
    var now = Date.now();
    if (asked && now - asked.at >= LOST_MS) asked.stop.abort();
    if (!asked && !held && now - tried >= period()) ask();
    show();
  }, 1000);

  document.addEventListener("driftline-hold", function (event) { held = event.detail; });
  document.addEventListener("driftline-refresh", askNow);

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.driftline = Object.assign(window.dash_clientside.driftline || {}, {
    // Dash has drawn an answer: the page is as of the server's time in it.
    answered: function (at) {
      if (!at) return [window.dash_clientside.no_update, window.dash_clientside.no_update];
      asked = failure = null;
      isEnded = false;
      tried = answered = Date.now();
      drawn = place();
      asOf = at.slice(11, 19);
      window.driftlineNow = Date.parse(at.split(" ")[0]);
      show();
      document.dispatchEvent(new CustomEvent("driftline-drawn"));
      return ["As of " + asOf, at.slice(0, 10) + " " + asOf + " " + at.split(" ")[1]];
    },
  });
})();
