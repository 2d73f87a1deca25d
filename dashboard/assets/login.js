// A link of `driftline up` holds the token behind #, where no server and no other page sees it.
(function () {
  "use strict";
  function enter() {
    var found = /^#token=([\w-]+)$/.exec(location.hash);
    var form = document.getElementById("login"), wrong = document.getElementById("wrong"), anchor = location.hash;
    history.replaceState(null, "", location.pathname + location.search);
    // The page that was asked for knows where to open by its anchor, which no server sees.
    if (!found && form && anchor.indexOf("#token=")) form.elements.next.value += anchor;
    if (!found) return;
    fetch("/login", {
      method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: found[1], next: form.elements.next.value }),
    }).then(function (answer) {
      return answer.json().then(function (said) {
        if (answer.ok) location.replace(said.next); else wrong.textContent = said.error.message;
      });
    }).catch(function () { wrong.textContent = "The dashboard does not answer."; });
  }
  window.addEventListener("hashchange", enter);
  enter();
})();
