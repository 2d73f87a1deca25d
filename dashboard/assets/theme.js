// Runs before the first paint, so that a dark page never flashes white, and before all other files.
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("driftline-theme"); } catch (_) { /* storage may be off */ }
  // The zone of the browser, where the address asks for times in it; "" for UTC.
  window.driftlineZone = function () {
    var asked = new URLSearchParams(location.search).get("zone") === "browser";
    return asked ? Intl.DateTimeFormat().resolvedOptions().timeZone || "" : "";
  };
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
