// Runs before the first paint, so that a dark page never flashes white.
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("driftline-theme"); } catch (_) { /* storage may be off */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
