// In-page navigation: a link of ours changes the address, and the page follows the address.
// Without this file every link still works, as a full load.
(function () {
  "use strict";
  var THEMES = ["system", "light", "dark"];
  var shown = null; // Path whose page had the focus put on its heading.
  var drawnFor = ""; // The address of the page that is shown.
  var wanted = location.hash; // Anchor that waits for its section to be drawn.

  var WAIT_MS = 300; // After the last key before the list is asked for again.
  var typed = null; // What stands in the filter, while it has the focus.
  var waiting = 0;

  function go(url, replace) {
    var place = url.pathname + url.search + url.hash;
    if (replace) history.replaceState({}, "", place); else history.pushState({}, "", place);
    wanted = url.hash;
    document.querySelectorAll("details.windows[open]").forEach(function (menu) { menu.open = false; });
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  }

  // The zone of the browser, where the address asks for times in it; "" for UTC.
  window.driftlineZone = function () {
    var asked = new URLSearchParams(location.search).get("zone") === "browser";
    return asked ? Intl.DateTimeFormat().resolvedOptions().timeZone || "" : "";
  };
  // The zone of times and the span that is shown go along to the next page.
  function along(href) {
    var url = new URL(href, location.href), here = new URLSearchParams(location.search);
    if (url.origin === location.origin) ["zone", "from", "to"].forEach(function (name) {
      if (here.get(name) && !url.searchParams.has(name)) url.searchParams.set(name, here.get(name));
    });
    return url;
  }
  // Another span of time for this page, by where it begins; of a list its first page.
  function spanning(start) {
    var url = new URL(location.href);
    ["from", "to", "page", "window"].forEach(function (name) { url.searchParams.delete(name); });
    if (start) url.searchParams.set("from", start);
    return url;
  }

  // A form that asks.
  document.addEventListener("driftline-go", function (event) {
    var url = new URL(event.detail);
    go(url.pathname === location.pathname ? url : along(url.href));
  });

  // The filter of a list is part of the address; typing does not fill the history.
  document.addEventListener("input", function (event) {
    if (event.target.id !== "filter") return;
    typed = event.target.value;
    clearTimeout(waiting);
    waiting = setTimeout(function () {
      var url = new URL(location.href);
      if (typed) url.searchParams.set("q", typed); else url.searchParams.delete("q");
      if (url.href !== location.href) go(url, true);
    }, WAIT_MS);
  });
  // Drawing the page anew takes the box away under the hand: it gets the focus and the text back,
  // unless the hand has gone elsewhere meanwhile.
  function leave(event) { if (event.target.id !== "filter") typed = null; }
  document.addEventListener("focusin", leave);
  document.addEventListener("pointerdown", leave);
  function restore() {
    var box = typed !== null && document.getElementById("filter");
    if (!box) return;
    if (document.activeElement !== box) {
      box.focus({ preventScroll: true });
      box.setSelectionRange(box.value.length, box.value.length);
    }
    if (box.value === typed) return;
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(box, typed);
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Which page this is, for the links on top.
  function place() {
    document.querySelectorAll(".places a").forEach(function (link) {
      var here = link.dataset.paths.split(" ").some(function (path) {
        return path === "/" ? location.pathname === "/" : location.pathname.indexOf(path) === 0;
      });
      if (here === (link.getAttribute("aria-current") === "page")) return;
      if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    });
  }

  driftlineOn("click", "a[href]", function (link, event) {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target) return;
    if (link.hasAttribute("download")) return; // A file, which is no page.
    var url = link.dataset.from === undefined ? along(link.href) : spanning(link.dataset.from);
    if (url.origin !== location.origin) return;
    if (url.pathname === location.pathname && url.search === location.search && url.hash) return;
    event.preventDefault();
    go(url);
  });

  // The list of windows closes as a menu does: by Escape, or by a click elsewhere.
  document.addEventListener("keydown", function (event) {
    var menu = event.key === "Escape" && document.querySelector("details.windows[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
  });
  document.addEventListener("pointerdown", function (event) {
    document.querySelectorAll("details.windows[open]").forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });

  function theme() { return document.documentElement.dataset.theme || "system"; }
  function write(id, words) {
    var button = document.getElementById(id);
    if (button && button.textContent !== words) button.textContent = words;
  }
  driftlineOn("click", "#zone", function () {
    var url = new URL(location.href);
    if (driftlineZone()) url.searchParams.delete("zone"); else url.searchParams.set("zone", "browser");
    go(url, true);
    label();
  });
  function label() {
    write("theme", "Theme: " + theme());
    write("zone", "Times: " + (driftlineZone() || "UTC"));
    var here = new URLSearchParams(location.search), start = here.get("from") || "", end = here.get("to") || "";
    var words = (start || "…") + " – " + (end || "now");
    document.querySelectorAll("[data-from]").forEach(function (link) {
      var isChosen = !end && link.dataset.from === start;
      if (isChosen) { link.setAttribute("aria-current", "true"); words = link.textContent; } else link.removeAttribute("aria-current");
    });
    write("range", "Range: " + words.replace(/T00:00:00Z/g, "").replace(/(T\d\d:\d\d):\d\dZ/g, "$1"));
  }
  driftlineOn("click", "#theme", function () {
    var next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try { localStorage.setItem("driftline-theme", next); } catch (_) { /* storage may be off */ }
    label();
  });

  // What only the browser can do once a page is drawn: title, focus, and the anchor.
  function settle() {
    label();
    place();
    restore();
    var drawn = document.querySelector("#page [data-title]");
    if (!drawn) return;
    var title = (drawn.dataset.title + " · driftline").replace(/\s+/g, " "); // As it is read back.
    if (document.title !== title) document.title = title;
    if (shown !== location.pathname) {
      if (shown !== null) {
        window.scrollTo(0, 0);
        var heading = drawn.querySelector("h1");
        if (heading) heading.focus({ preventScroll: true });
      }
      shown = location.pathname;
    }
    var target = wanted && drawnFor === location.href.split("#")[0] && document.getElementById(anchor());
    if (target) { wanted = ""; reach(target); }
  }

  // An anchor that is no text of ours leads nowhere, and is forgotten.
  function anchor() {
    try { return decodeURIComponent(wanted.slice(1)); } catch (_) { wanted = ""; return ""; }
  }

  // Charts take their height at once but draw later; the section stays in view until they have.
  // Whoever goes by keyboard goes on from there.
  function reach(target) {
    if (!target.matches("a")) target.tabIndex = -1;
    target.focus({ preventScroll: true });
    target.scrollIntoView();
    requestAnimationFrame(function () { target.scrollIntoView(); });
  }

  // Before that the page is the last one, which takes the focus away with it.
  document.addEventListener("driftline-drawn", function () {
    drawnFor = location.href.split("#")[0];
    settle();
  });
  new MutationObserver(settle).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["data-title"],
  });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.driftline = Object.assign(window.dash_clientside.driftline || {}, {
    open_window: function (click) {
      var point = click && click.points && click.points[0];
      if (point && typeof point.customdata === "string" && point.customdata.charAt(0) === "/") {
        go(along(point.customdata));
      }
      return window.dash_clientside.no_update;
    },
    // A range that was dragged over: what its places stand for becomes part of an address.
    open_range: function (dragged) {
      var range = dragged && dragged.range && dragged.range.x;
      var id = window.dash_clientside.callback_context.triggered[0].prop_id.split(".")[0];
      var box = range && document.getElementById(id).closest("[data-ranges]");
      if (box) {
        var to = JSON.parse(box.dataset.ranges), ends = range.map(place_of), edges = to.edges.map(place_of);
        var inside = to.first.map(function (_, at) { return at; }).filter(function (at) {
          var middle = (edges[at] + edges[at + 1]) / 2;
          return middle >= Math.min(ends[0], ends[1]) && middle <= Math.max(ends[0], ends[1]);
        });
        var url = new URL(to.to, location.href), asked = [to.first[inside[0]], to.last[inside[inside.length - 1]]];
        url.searchParams.set(to.name, asked.filter(Boolean).join(to.joint));
        if (inside.length) go(along(url.href));
      }
      return window.dash_clientside.no_update;
    },
  });
  function place_of(end) { return typeof end === "number" ? end : Date.parse(end.replace(" ", "T")); }
  // A finger on a figure scrolls the page; plotly would select.
  document.addEventListener("touchstart", function (event) {
    if (event.target.closest && event.target.closest("[data-ranges]")) event.stopPropagation();
  }, { capture: true, passive: true });
})();
