// Loads plotly.js when the first chart asks for it. Dash itself gives up after 30 seconds, and then
// draws the whole page again and again: on a slow link nobody could fill in a form.
(function () {
  "use strict";
  var AGAIN_MS = 5000; // After a try that failed.
  var loading = null;

  function load(done) {
    var script = document.createElement("script");
    script.src = window._dashPlotlyJSURL;
    script.onload = function () { done(window.Plotly); };
    script.onerror = function () { script.remove(); setTimeout(load, AGAIN_MS, done); };
    document.body.appendChild(script);
  }
  // Dash waits for whatever stands here; plotly.js puts itself in its place.
  Object.defineProperty(window, "Plotly", {
    configurable: true,
    get: function () { return (loading = loading || new Promise(load)); },
    set: function (plotly) { Object.defineProperty(window, "Plotly", { value: plotly, writable: true }); },
  });
})();
