"use strict";
// The page is whole without this script: it adds sorting, filters, and pictures of every feature.
const data = JSON.parse(document.getElementById("driftline-data").textContent);
const table = document.getElementById("feature-table");
const CHUNK = 100, Z = 1.959964;
const esc = text => String(text).replace(/[&<>"']/g, sign => `&#${sign.charCodeAt(0)};`);
const count = number => Math.round(number).toLocaleString("en-US");
const percent = share => share > 0 && share < 0.0005 ? "under 0.1%" : `${+(100 * share).toFixed(1)}%`;
const points = share => `${share > 0 ? "+" : share < 0 ? "\u2212" : ""}${Math.abs(100 * share).toFixed(1)} points`;

// 95% interval of a share (Wilson), as the report itself has it.
function interval(share, rows) {
  if (!rows) return [0, 1];
  const base = 1 + Z * Z / rows, middle = (share + Z * Z / (2 * rows)) / base;
  const half = Z / base * Math.sqrt(share * (1 - share) / rows + Z * Z / (4 * rows * rows));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

function bars(one, mode) {
  let rows = one.labels.map((label, at) => {
    const [low, high] = interval(one.now[at], one.rows[1]);
    return {label, then: one.then[at], now: one.now[at], low, high, moved: one.moved.includes(at)};
  });
  if (mode === "sum") {
    let then = 0, now = 0;
    rows = rows.map(row => {
      [then, now] = [then + row.then, now + row.now];
      const [low, high] = interval(Math.min(1, now), one.rows[1]);
      return {...row, then, now, low, high, upTo: true};
    });
  }
  if (mode === "change") rows.sort((a, b) => Math.abs(b.now - b.then) - Math.abs(a.now - a.then));
  const lines = rows.map(row => {
    const told = `${row.upTo ? "up to and with " : ""}${row.label}\n` +
      `reference: ${percent(row.then)} (${count(row.then * one.rows[0])} rows)\n` +
      `now: ${percent(row.now)} (${count(row.now * one.rows[1])} rows)\n` +
      `95% interval: ${percent(row.low)} to ${percent(row.high)}\n` +
      `change: ${points(row.now - row.then)}`;
    const drawn = mode === "change" ? difference(row, rows) : pair(row, rows);
    const value = mode === "change" ? points(row.now - row.then)
      : `${percent(row.then)} \u2192 ${percent(row.now)}`;
    return `<tr tabindex="0" data-tip="${esc(told)}"${row.moved ? ' class="moved"' : ""}>` +
      `<th scope="row">${esc(row.label)}</th><td class="plot">${drawn}</td>` +
      `<td class="value">${value}</td></tr>`;
  });
  return `<table class="bars"><tbody>${lines.join("")}</tbody></table>`;
}

function pair(row, rows) {
  const scale = 100 / Math.max(1e-9, ...rows.map(one => Math.max(one.then, one.high)));
  return '<svg viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">' +
    `<rect class="then" y="1" height="9" width="${row.then * scale}"/>` +
    `<rect class="${row.moved ? "moved" : "now"}" y="10" height="9" width="${row.now * scale}"/>` +
    `<line class="whisker" x1="${row.low * scale}" x2="${row.high * scale}" y1="14.5" y2="14.5"/></svg>`;
}

function difference(row, rows) {
  const most = Math.max(1e-9, ...rows.map(one => Math.abs(one.now - one.then)));
  const width = Math.abs(row.now - row.then) / most * 49;
  const from = row.now < row.then ? 50 - width : 50;
  return '<svg viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">' +
    '<line class="axis" x1="50" x2="50" y1="0" y2="20" vector-effect="non-scaling-stroke"/>' +
    `<rect class="${row.moved ? "moved" : "now"}" x="${from}" y="3" height="14" width="${width}"/></svg>`;
}

function picture(place, index) {
  const one = data.pictures[index];
  const modes = [["share", "Shares"], ["change", "Change"], ...(one.ordered ? [["sum", "Cumulative"]] : [])];
  const draw = mode => {
    const buttons = modes.map(([name, title]) =>
      `<button type="button" data-mode="${name}" aria-pressed="${name === mode}">${title}</button>`);
    place.innerHTML = `<div class="modes">${buttons.join("")}</div>${bars(one, mode)}<figcaption>` +
      '<span class="key then"></span>reference' + ` (${count(one.rows[0])} rows)` +
      '<span class="key now"></span>now' + ` (${count(one.rows[1])} rows)` +
      (one.moved.length ? '<span class="key moved"></span>now, the rows of the verdict' : "") +
      '; lines are 95% intervals</figcaption>';
  };
  place.addEventListener("click", event => {
    const mode = event.target.closest("[data-mode]")?.dataset.mode;
    if (mode) { draw(mode); place.querySelector(`[data-mode=${mode}]`).focus(); }
  });
  draw("share");
}

for (const place of document.querySelectorAll("figure[data-picture]")) picture(place, place.dataset.picture);

// One tip for all bars, by pointer and by keyboard.
const tip = document.body.appendChild(Object.assign(document.createElement("div"), {className: "tip", hidden: true}));
tip.setAttribute("role", "status");
function show(event) {
  const row = event.target.closest?.("[data-tip]");
  tip.hidden = !row;
  if (!row) return;
  tip.textContent = row.dataset.tip;
  const box = row.getBoundingClientRect();
  const left = event.clientX ?? box.left + 40, top = event.clientY ?? box.bottom;
  tip.style.left = `${Math.max(8, Math.min(left + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${top + 16 + tip.offsetHeight > innerHeight ? top - tip.offsetHeight - 12 : top + 16}px`;
}
for (const kind of ["pointermove", "focusin"]) document.addEventListener(kind, show);
document.addEventListener("focusout", () => { tip.hidden = true; });
document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });

if (table) {
  const body = table.tBodies[0], controls = document.getElementById("controls");
  const rows = [...body.rows].map(row => row.outerHTML).concat(data.rows);
  const all = rows.map((_, index) => index);
  const said = document.getElementById("shown");
  let chosen = all, sorted = null, drawn = 0, state = "all";
  const search = controls.querySelector("input");
  const names = data.keys[0].map(name => name.toLowerCase());

  function more() {
    const next = chosen.slice(drawn, drawn + CHUNK);
    drawn += next.length;
    body.insertAdjacentHTML("beforeend", next.map(index => rows[index]).join(""));
    for (const row of [...body.rows].slice(-next.length)) prepare(row);
  }
  function prepare(row) {
    const head = row.cells[0], index = data.drawn[row.dataset.row];
    if (index === null || index === undefined) return;
    head.innerHTML = `<button type="button" class="open" aria-expanded="false">${head.innerHTML}</button>`;
  }
  function redraw() {
    const wanted = search.value.trim().toLowerCase();
    chosen = all.filter(index => (!wanted || names[index].includes(wanted)) &&
      (state === "all" || data.states[index] === state));
    if (sorted) {
      const keys = data.keys[sorted.column], sign = sorted.down ? -1 : 1;
      chosen.sort((a, b) => {
        const [x, y] = [keys[a], keys[b]];
        if (x === null || y === null) return (x === null) - (y === null);  // What is missing is last.
        return sign * (typeof x === "string" ? x.localeCompare(y, "en", {numeric: true}) : x - y) || a - b;
      });
    }
    body.replaceChildren();
    drawn = 0;
    more();
    said.textContent = `${count(chosen.length)} of ${count(rows.length)}`;
  }
  controls.hidden = false;
  search.addEventListener("input", redraw);
  controls.addEventListener("click", event => {
    const button = event.target.closest("[data-state]");
    if (!button) return;
    state = button.dataset.state;
    for (const one of controls.querySelectorAll("[data-state]")) one.ariaPressed = String(one === button);
    redraw();
  });
  for (const head of table.tHead.rows[0].cells) {
    const column = head.dataset.key;
    if (column === undefined) continue;
    head.innerHTML = `<button type="button">${head.innerHTML}</button>`;
    head.firstChild.addEventListener("click", () => {
      const same = sorted?.column === column;
      // Numbers begin with the greatest, names with the first.
      sorted = {column, down: same ? !sorted.down : typeof data.keys[column].find(key => key !== null) === "number"};
      for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      redraw();
    });
  }
  body.addEventListener("click", event => {
    const button = event.target.closest("button.open");
    if (!button) return;
    const row = button.closest("tr"), open = button.ariaExpanded === "true";
    button.ariaExpanded = String(!open);
    if (open) return row.nextElementSibling.remove();
    const detail = document.createElement("tr");
    detail.className = "detail";
    detail.innerHTML = `<td colspan="${table.tHead.rows[0].cells.length}"><figure></figure></td>`;
    row.after(detail);
    picture(detail.querySelector("figure"), data.drawn[row.dataset.row]);
  });
  new IntersectionObserver(seen => {
    if (seen[0].isIntersecting && drawn < chosen.length) more();
  }, {rootMargin: "600px"}).observe(document.getElementById("end"));
  redraw();
}
