"""What axe-core finds on a page, with everything on it open."""

from axe_playwright_python.sync_playwright import Axe

# To collect what passed, too, takes almost half of the time.
FAULTS_ALONE = {"resultTypes": ["violations"]}
RUN = "options => axe.run(document, options).then(results => results.violations)"
OPEN = "() => document.querySelectorAll('details').forEach(one => { one.open = true; })"
# Nine tenths of the time goes into the contrast of each text, and those of a table are alike.
ONE_OF_EACH = """() => {
    const LOOK = ["color", "backgroundColor", "backgroundImage", "opacity", "fontSize",
        "fontWeight", "position", "textShadow", "visibility"];
    const numbers = new Map(), looks = new Map(), shown = new Set();
    for (const one of document.querySelectorAll("*")) {
        const style = getComputedStyle(one);
        const look = [looks.get(one.parentElement), one.localName, one.getAttribute("class"),
            ...LOOK.map(name => style[name])].join();
        if (!numbers.has(look)) numbers.set(look, numbers.size);
        looks.set(one, numbers.get(look));
        const says = one.matches("input, select, textarea, button") || [...one.childNodes].some(
            node => node.nodeType === Node.TEXT_NODE && node.data.trim());
        const isFirst = says && !shown.has(numbers.get(look)) && one.getClientRects().length > 0;
        if (isFirst) shown.add(numbers.get(look));
        one.toggleAttribute("data-one-of-each", isFirst);
    }
    axe.configure({ rules: [{ id: "color-contrast", selector: "[data-one-of-each]" }] });
}"""
# Rows of a table, and marks and words of a figure, mostly differ by what they say alone: those that
# are built like an earlier one are hidden, unless they hold the first text of a look.
HIDE_ALIKE = """() => {
    const describe = one => [one.localName, one.getAttribute("class"), one.getAttribute("style"),
        ...one.getAttributeNames(), one.textContent.trim() !== "",
        ...[...one.children].map(describe)].join();
    const hidden = [];
    for (const parent of document.querySelectorAll("tbody, svg g")) {
        const seen = new Set();
        for (const one of parent.children) {
            const found = describe(one), isShown = one.querySelector("[data-one-of-each]");
            if (seen.has(found) && !isShown) hidden.push([one, one.style.display]);
            seen.add(found);
        }
    }
    for (const [one] of hidden) one.style.display = "none";
    window.showAgain = () => hidden.forEach(([one, was]) => { one.style.display = was; });
}"""


def axe_faults(page, *, every_text=False):
    """Return each rule that a page breaks, with its first place.

    Parameters
    ----------
    every_text
        Whether to judge the contrast of every text, or of the first of those that have, with all
        around them, the same element, class and look. Without it, rows of a table and parts of a
        figure that are built like an earlier one are left out of every rule.
    """
    page.evaluate(OPEN)
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(Axe().axe_script)
    if not every_text:
        page.evaluate(ONE_OF_EACH)
        page.evaluate(HIDE_ALIKE)
    broken = page.evaluate(RUN, FAULTS_ALONE)
    if not every_text:
        page.evaluate("() => window.showAgain()")
    found = []
    for one in broken:
        first = one["nodes"][0]
        found.append(f"{one['id']}: {first['html'][:120]} {first['failureSummary']}")
    return found
