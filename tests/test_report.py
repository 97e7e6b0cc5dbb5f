# SPDX-License-Identifier: MIT
"""The page of `plyfs report`, opened by a real browser: what it shows is what the ledger holds.

Pages of made-up ledgers show what is hard to make by hand; they are the program's own page with other data
in it. What the program puts into its page is compared with what the other commands say.
"""
import base64
import hashlib
import json
import os
import pathlib
import re
import sqlite3
import subprocess

import pytest

import ledgers
from browser import Browser
from harness import ROOT, Sandbox, need_root, need_tool, run
from storekit import Store
from test_layer import complete

PICTURES = ROOT / "build" / "log"
TABLES = ("by-process", "by-cause", "by-layer", "by-path", "events")


@pytest.fixture(scope="module")
def browser():
    need_tool("chromium")
    with Browser() as one:
        yield one


@pytest.fixture(scope="module")
def template():
    """The page as the program writes it."""
    box = Sandbox()
    store = Store(box)
    store.plyfs("create", "--name", "web", "--lower", box.directory("lower"))
    text = store.plyfs("report", "web").stdout
    store.close()
    box.close()
    return text


class Page:
    """A page in the browser, and the data that it shows."""

    def __init__(self, browser, path):
        self.browser, self.path = browser, path
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.S)
        assert not re.search(r"[<>&]|[^\x20-\x7e]", found.group(1)), "nothing in it can look like markup"
        self.data = json.loads(found.group(1))
        self.events = self.data["Ledger"]["Events"]

    def __getattr__(self, name):
        return getattr(self.browser, name)

    def open(self, **how):
        self.browser.open(self.path, **how)
        return self

    def text(self, selector):
        return self.eval(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector):
        self.eval(f"document.querySelector({json.dumps(selector)}).dispatchEvent("
                  "new MouseEvent('click', {bubbles: true}))")

    def search(self, text):
        """Types into the emptied field, and waits for the answer."""
        self.eval("""document.getElementById('found').textContent = '';
                     document.getElementById('search').value = '';
                     document.getElementById('search').focus()""")
        self.type(text)
        if not text:
            self.eval("document.getElementById('search').dispatchEvent(new Event('input'))")
        self.wait(f"document.getElementById('found').innerText.startsWith('{len(self.matching(text)):,} ')")

    def cells(self, table, column):
        """The texts of one column of the rows that are seen."""
        return self.eval(f"[...document.querySelectorAll('#{table} tbody tr')]"
                         f".map(row => row.cells[{column}].innerText)")

    def header(self, table, column):
        return f"#{table} th:nth-child({column + 1})"

    # ---- what the data says ----------------------------------------------------------------------

    def path_of(self, i):
        directory = self.data["Ledger"]["Directories"][self.events["Directory"][i]]
        name = self.data["Ledger"]["Names"][self.events["Name"][i]]
        return directory.rstrip("/") + "/" + name if name else directory

    def word(self, field, i, words):
        return self.data["Ledger"][words][self.events[field][i]]

    def matching(self, text):
        def has(i, word):
            texts = [self.path_of(i), self.word("Event", i, "Kinds"), self.word("Cause", i, "Causes"),
                     self.word("Means", i, "Means"), self.word("Type", i, "Types"),
                     self.word("Process", i, "Processes")["Caller"]]
            return any(word in text.lower() for text in texts)
        return [i for i in range(self.data["Ledger"]["Count"]) if all(has(i, word) for word in text.lower().split())]

    def copied(self, column, among=None):
        kind = self.data["Ledger"]["Kinds"].index("copyup")
        among = range(self.data["Ledger"]["Count"]) if among is None else among
        return sum(self.events[column][i] for i in among if self.events["Event"][i] == kind)

    def copyups(self):
        return self.events["Event"].count(self.data["Ledger"]["Kinds"].index("copyup"))


@pytest.fixture
def show(browser, template, sandbox):
    """Opens a page with made-up rows."""
    def opened(rows, how=None, **what):
        path = sandbox.path / "report.html"
        path.write_text(ledgers.page_with(template, ledgers.report(rows, **what)))
        return Page(browser, path).open(**(how or {}))
    return opened


def assert_at_peace(page):
    """Nothing was said on the console, thrown or refused, and nothing was asked for but the file itself."""
    assert page.complaints == []
    assert page.requests == [f"file://{page.path}"]


# ---- one file, and nothing else ------------------------------------------------------------------

def test_the_page_asks_the_network_for_nothing_and_has_no_complaint(show, template):
    page = show(ledgers.story(2000))
    for selector in ("#by-path th:nth-child(1) button", "[data-at='0']", "#list-these", "input[value=cause]",
                     "input[value=order]"):
        page.click(selector)
    assert_at_peace(page)
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<>]*", template))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "the name of a vocabulary is no address"
    assert not re.search(r"<(link|img|iframe|object|embed|script[^>]+src)\b|@import|\bfetch\(|XMLHttpRequest|WebSocket",
                         template)


def test_the_policy_names_the_pages_own_style_and_script_by_their_hashes(template):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', template).group(1)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for tag in ("style", "script"):
        text, = re.findall(rf"<{tag}>(.*?)</{tag}>", template, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_no_other_script_runs(show, template, browser, sandbox):
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'><b style='color: red' id=red>x</b>"
    path = sandbox.path / "evil.html"
    path.write_text(template.replace("<main>", evil + "<main>"))
    page = Page(browser, path).open()
    assert page.eval("typeof window.hacked") == "undefined"
    assert page.eval("getComputedStyle(document.getElementById('red')).color") != "rgb(255, 0, 0)"
    assert any("Content Security Policy" in words for words in page.complaints)


def test_markup_in_names_stays_text(show, template):
    names = ["</script><script>window.hacked = 1</script>", "<!--<script>", "<img src=x onerror=alert(1)>",
             "a\u2028b\u2029c", "\"quoted' & ampersand", "]]>", "back\\slash \\u003c", "tab\tand\nline",
             "\u202egnp.exe", "&lt;b&gt;", "@DATA@", "ünï", "zero\u200bwidth"]
    rows = [{"Time": n, "Path": f"/{name.replace('/', '_')}/{name.replace('/', '_')}", "Size": 9, "Moved": 9,
             "Command": name[:15], "Pid": n + 1, "Uid": 0} for n, name in enumerate(names)]
    rows.append({"Time": 99, "Path": "/x</script><script>window.hacked = 3</script>/y", "Size": 1, "Moved": 1})
    page = show(rows)
    assert page.eval("typeof window.hacked") == "undefined"
    assert page.eval("document.scripts.length") == 2 and page.eval("document.images.length") == 0
    seen = page.text("#events")
    assert "<img src=x onerror=alert(1)>/<img" in seen and "&lt;b&gt;/&lt;b&gt;" in seen and "@DATA@" in seen
    assert "\\u202egnp.exe" in seen and "zero\\u200bwidth" in seen and "a\\u2028b\\u2029c" in seen
    assert not re.search("[\u2028\u202e\u200b]", page.eval("document.body.innerText"))
    assert_at_peace(page)


# ---- the treemap ---------------------------------------------------------------------------------

TILES = """[...document.querySelectorAll('#map .tile')].map(tile => {
    const box = tile.querySelector('rect');
    return {bytes: Number(tile.dataset.bytes), label: tile.getAttribute('aria-label'),
            opens: tile.getAttribute('role') === 'button', x: +box.getAttribute('x'), y: +box.getAttribute('y'),
            w: +box.getAttribute('width'), h: +box.getAttribute('height')};
})"""


def assert_map_adds_up(page, whole):
    """Bytes add up, areas are in proportion to them and fill the picture, and no tile lies over another."""
    tiles = page.eval(TILES)
    assert sum(tile["bytes"] for tile in tiles) == whole
    _, _, width, height = map(float, page.eval("document.querySelector('#map svg').getAttribute('viewBox')").split())
    for tile in tiles:
        assert tile["w"] * tile["h"] == pytest.approx(tile["bytes"] / whole * width * height, rel=1e-6, abs=1e-6), tile
        assert -1e-6 <= tile["x"] and tile["x"] + tile["w"] <= width + 1e-6 and tile["y"] + tile["h"] <= height + 1e-6
    for k, one in enumerate(tiles):
        for other in tiles[:k]:
            across = min(one["x"] + one["w"], other["x"] + other["w"]) - max(one["x"], other["x"])
            down = min(one["y"] + one["h"], other["y"] + other["h"]) - max(one["y"], other["y"])
            assert across < 1e-6 or down < 1e-6, (one, other)
    return tiles


@pytest.mark.parametrize("count", [1, 50, 5000])
def test_the_treemaps_area_adds_up_to_the_bytes(show, count):
    rows = ledgers.story(count, seed=4)
    rows[0].update(Event="copyup", Size=4321, Moved=4321)
    page = show(rows)
    assert_map_adds_up(page, page.copied("Moved"))
    page.click("input[value=Size]")
    assert_map_adds_up(page, page.copied("Size"))


def test_every_directory_of_the_treemap_adds_up_too_down_to_the_files(show):
    page = show(ledgers.story(3000, seed=2))
    opened = 0
    for _ in range(40):
        tiles = page.eval(TILES)
        inner = next((k for k, tile in enumerate(tiles) if tile["opens"]), None)
        if inner is None:
            break
        whole = tiles[inner]["bytes"]
        page.click(f"[data-at='{inner}']")
        assert_map_adds_up(page, whole)
        opened += 1
    assert opened > 1 and inner is None, "it ends at files"
    assert len(page.eval("[...document.querySelectorAll('#crumbs button')].map(b => b.innerText)")) == opened + 1
    page.click("#crumbs li:first-child button")
    assert_map_adds_up(page, page.copied("Moved"))


def test_small_files_are_one_tile_that_opens(show):
    rows = [{"Time": n, "Path": f"/d/f{n}", "Size": size, "Moved": size}
            for n, size in enumerate([50000] * 10 + [7] * 900)]
    page = show(rows)
    page.click("[data-at='0']")
    tiles = assert_map_adds_up(page, 506300)
    assert len(tiles) < 60
    other, = [k for k, tile in enumerate(tiles) if "others" in tile["label"]]
    assert tiles[other]["bytes"] >= 6000
    page.click(f"[data-at='{other}']")
    assert_map_adds_up(page, tiles[other]["bytes"])


def test_a_treemap_without_bytes_says_so_and_shows_the_files_instead(show):
    page = show([{"Time": 0, "Path": "/etc/passwd", "Size": 1234, "Moved": 0, "Means": "metacopy", "Cause": "chmod"}])
    assert "No bytes here" in page.text("#map")
    page.click("input[value=Size]")
    assert_map_adds_up(page, 1234)


def test_a_place_of_the_treemap_is_listed_in_the_ledger(show):
    page = show(ledgers.story(500))
    tiles = page.eval(TILES)
    at = next(k for k, tile in enumerate(tiles) if tile["label"].startswith("usr/"))
    page.click(f"[data-at='{at}']")
    page.click("#list-these")
    assert page.eval("document.getElementById('search').value") == "/usr/"
    assert page.text("#found") == f"{len(page.matching('/usr/'))} of 500 events"


# ---- the timeline --------------------------------------------------------------------------------

@pytest.mark.parametrize("along", ["time", "order"])
def test_every_copy_up_is_in_one_column_of_the_timeline(show, along):
    page = show(ledgers.story(800))
    page.click(f"input[value={along}]")
    page.eval("document.getElementById('line').focus()")
    page.press("Home")
    columns = int(page.eval("document.getElementById('line').getAttribute('aria-valuemax')"))
    count, by = 0, {}
    for _ in range(columns):
        words = page.eval("document.getElementById('line').getAttribute('aria-valuetext')")
        count += int(re.search(r": ([\d,]+) copy-ups?", words).group(1).replace(",", ""))
        for name, many in re.findall(r"(?:moved: |, )([^,:]+) ([\d,]+)(?=,|$)", words):
            by[name] = by.get(name, 0) + int(many.replace(",", ""))
        page.press("ArrowRight")
    assert count == page.copyups() == sum(by.values())
    legend = dict(re.findall(r"^\s*(.+?)\s([\d,]+)$", page.text("#legend"), re.M))
    assert {name: int(many.replace(",", "")) for name, many in legend.items()} == by


def test_one_copy_up_makes_a_timeline(show):
    page = show([{"Time": 0, "Path": "/etc/passwd", "Size": 10, "Moved": 10, "Command": "sed", "Pid": 4, "Uid": 0}])
    assert page.eval("document.querySelectorAll('#line .bar').length") == 1
    assert "1 copy-up within" in page.text("#times-lead")
    assert_at_peace(page)


# ---- tables --------------------------------------------------------------------------------------

UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}


def value(text):
    """What a cell that counts says: rounding keeps the order."""
    found = re.fullmatch(r"([\d.,]+)(?:\s(\w+))?", text)
    if not found:
        return text if text != "" else -1
    return float(found.group(1).replace(",", "")) * UNITS.get(found.group(2), 1)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_sorts_by_each_column_both_ways(show, table):
    page = show(ledgers.story(300))
    headers = page.eval(f"[...document.querySelectorAll('#{table} th')].map(th => th.innerText.trim())")
    last = f"[aria-labelledby='{table}-title'] ~ .pages button:last-child"
    for column, title in enumerate(headers):
        numeric = page.eval(f"document.querySelector('{page.header(table, column)}').className === 'number'")
        ways = []
        for _ in range(2):
            page.click(page.header(table, column) + " button")
            way = page.eval(f"document.querySelector('{page.header(table, column)}').getAttribute('aria-sort')")
            assert page.eval(f"document.querySelectorAll('#{table} [aria-sort]').length") == 1
            seen = page.cells(table, column)
            if page.eval(f"!!document.querySelector(\"{last}\")"):
                page.click(last)
                seen += page.cells(table, column)
            keys = [value(text) for text in seen] if numeric else [text.replace("none", "layer 0") for text in seen] \
                if table == "by-layer" else seen
            assert keys == sorted(keys, reverse=way == "descending"), (title, way)
            ways.append(way)
        assert set(ways) == {"ascending", "descending"}
    assert_at_peace(page)


@pytest.mark.parametrize("text", ["dpkg", "/etc chmod", "WHITEOUT", "reflink sed", "file-7", "doc/libc6"])
def test_a_search_narrows_every_table_to_the_events_that_have_all_words(show, text):
    page = show(ledgers.story(900))
    page.search(text)
    among = page.matching(text)
    assert among and len(among) < 900
    assert page.text("#found") == f"{len(among)} of 900 events"
    assert sum(int(cell) for cell in page.cells("by-layer", 5)) == len(among)
    kind = page.data["Ledger"]["Kinds"].index("copyup")
    assert sum(int(cell) for cell in page.cells("by-layer", 1)) == sum(page.events["Event"][i] == kind for i in among)
    causes = {page.word("Cause", i, "Causes") for i in among}
    assert set(page.cells("by-cause", 0)) == causes
    for table, many in (("by-path", len({page.path_of(i) for i in among})), ("events", len(among))):
        words = page.text(f"[aria-labelledby='{table}-title'] ~ .pages")
        assert re.search(rf"(of|^)\s?{many}( rows?)?\b", words), (table, words)
    assert {cell for cell in page.cells("events", 2)} <= {page.path_of(i) for i in among}


def test_a_search_without_a_hit_says_so(show):
    page = show(ledgers.story(50))
    page.search("nothing-has-this")
    assert page.text("#found") == "0 of 50 events"
    assert page.text("#tables").count("No event has all these words.") == len(TABLES)
    page.search("")
    assert page.text("#found") == "50 events"


def test_sums_are_those_of_the_ledger(show):
    page = show(ledgers.story(700))
    process = {name: int(cell.replace(",", ""))
               for name, cell in zip(page.cells("by-process", 0), page.cells("by-process", 1))}
    expected = {}
    for i, kind in enumerate(page.events["Event"]):
        who = page.word("Process", i, "Processes")
        expected[who["Command"] or who["Caller"]] = expected.get(who["Command"] or who["Caller"], 0) + (kind == 0)
    assert process.items() <= expected.items() and len(process) == min(10, len(expected))
    totals = page.text("#totals")
    assert f"{page.copyups()}\n" in totals


def test_pages_of_a_table_turn(show):
    page = show(ledgers.story(120))
    pages = "[aria-labelledby='events-title'] ~ .pages"
    seen = page.cells("events", 2)
    for _ in range(4):
        page.eval(f"[...document.querySelectorAll(\"{pages} button\")].find(b => b.innerText === 'Next').click()")
        seen += page.cells("events", 2)
    assert sorted(seen) == sorted(page.path_of(i) for i in range(120))
    assert "101 to 120 of 120" in page.text(pages)


# ---- keyboard, colours, sizes --------------------------------------------------------------------

WHERE = """(() => {
    const at = document.activeElement, style = getComputedStyle(at), ring = at.querySelector(':scope > .ring');
    const box = at.getBoundingClientRect();
    return {id: at.id, tag: at.tagName, text: (at.innerText || '').slice(0, 40), at: at.dataset.at ?? null,
            seen: ring ? parseFloat(getComputedStyle(ring).strokeWidth) >= 2 && getComputedStyle(ring).stroke !== 'none'
                       : style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
            size: box.width * box.height};
})()"""


def test_everything_is_reached_and_done_with_the_keyboard_alone(show):
    page = show(ledgers.story(300))
    stops = []
    for _ in range(200):
        page.press("Tab")
        stop = page.eval(WHERE)
        if stop["tag"] == "BODY":
            break
        assert stop["seen"] and stop["size"] > 0, f"the focus is not seen at {stop}"
        stops.append(stop)
    assert stops[0]["text"] == "Skip to the tables" and len(stops) < 120
    reached = {stop["id"] for stop in stops}
    assert {"line", "search"} <= reached
    assert sum(stop["at"] is not None for stop in stops) == 1, "the treemap is one stop"
    headers = page.eval("document.querySelectorAll('th button').length")
    assert sum(stop["text"] in page.eval("[...document.querySelectorAll('th button')].map(b => b.innerText)")
               for stop in stops) >= headers

    def until(condition):
        for _ in range(200):
            page.press("Tab")
            if condition(page.eval(WHERE)):
                return
        raise AssertionError("not reached")

    until(lambda stop: stop["at"] is not None)
    page.press("ArrowRight")
    assert page.eval(WHERE)["at"] != "0"
    page.press("Home")
    page.press("Enter")
    assert page.eval("document.querySelectorAll('#crumbs li').length") == 2 and page.eval(WHERE)["at"] == "0"
    page.press("Backspace")
    assert page.eval("document.querySelectorAll('#crumbs li').length") == 1 and page.eval(WHERE)["at"] == "0"
    until(lambda stop: stop["id"] == "line")
    before = page.eval("document.getElementById('line').getAttribute('aria-valuetext')")
    page.press("ArrowRight", 3)
    assert page.eval("document.getElementById('line').getAttribute('aria-valuenow')") == "4"
    assert page.eval("document.getElementById('line').getAttribute('aria-valuetext')") != before
    assert page.text("#line-said") == page.eval("document.getElementById('line').getAttribute('aria-valuetext')")
    until(lambda stop: stop["id"] == "search")
    page.type("chmod")
    page.wait(f"document.getElementById('found').innerText === '{len(page.matching('chmod'))} of 300 events'")
    until(lambda stop: stop["tag"] == "BUTTON" and stop["text"] == "Path")
    page.press("Enter")
    assert page.eval("document.querySelector('#by-path th').getAttribute('aria-sort')") == "ascending"
    assert_at_peace(page)


def test_what_is_said_to_those_who_do_not_see_it_has_names(show):
    page = show(ledgers.story(60))
    assert page.eval("document.documentElement.lang") == "en"
    assert page.eval("['header', 'main', 'footer', 'nav'].every(tag => document.querySelector(tag))")
    levels = page.eval("[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    nameless = page.eval("""[...document.querySelectorAll(
            'input, button, [role=button], [role=slider], [role=img], [role=region], section, nav')]
        .filter(e => !(e.labels?.length || e.innerText?.trim() || e.getAttribute('aria-label') ||
                       e.getAttribute('aria-labelledby')))
        .map(e => e.outerHTML.slice(0, 200))""")
    assert nameless == []
    assert page.eval("[...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].every(e => "
                     "document.getElementById(e.getAttribute('aria-labelledby') || e.getAttribute('aria-describedby')))")
    ids = page.eval("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


# Each text that is seen, by its colour and that of what lies behind it, as numbers of a canvas; what is drawn
# with them in pictures besides.
COLOURS = """(() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const behind = (element) => {
        const tile = element.closest('.tile');
        if (tile)
            return rgba(getComputedStyle(tile.querySelector('rect')).fill);
        for (let at = element; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255)
                return colour;
        }
        return null;
    };
    const found = new Map(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const add = (element, colour, what) => {
        const pair = {front: rgba(colour), back: behind(element), what};
        found.set(JSON.stringify([pair.front, pair.back, what.length > 60]), pair);
    };
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.getClientRects().length ||
            element.closest('script, style, title, noscript'))
            continue;
        const style = getComputedStyle(element), svg = element.namespaceURI.endsWith('svg');
        add(element, svg ? style.fill : style.color, 'text: ' + walker.currentNode.data.trim().slice(0, 40));
    }
    const search = document.getElementById('search');
    add(search, getComputedStyle(search, '::placeholder').color, 'text: placeholder');
    const paper = rgba(getComputedStyle(document.body).backgroundColor);
    for (const mark of document.querySelectorAll('.tile .band, pattern .solid')) {
        const front = rgba(getComputedStyle(mark).fill);
        found.set('mark' + front, {front, back: paper, what: 'mark'});
    }
    return [...found.values()];
})()"""


def luminance(colour):
    parts = [c / 255 / 12.92 if c / 255 <= .04045 else ((c / 255 + .055) / 1.055) ** 2.4 for c in colour[:3]]
    return .2126 * parts[0] + .7152 * parts[1] + .0722 * parts[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + .05) / (dark + .05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_pictures_have_contrast_enough(show, scheme):
    """What WCAG asks at its level AA: 4.5 for text, 3 for what else must be seen."""
    page = show(ledgers.story(1500, seed=9), how={"scheme": scheme})
    page.search("dpkg")
    pairs = page.eval(COLOURS)
    texts = [pair for pair in pairs if pair["what"].startswith("text")]
    assert len(texts) > 5 and len(pairs) - len(texts) >= 8
    assert (luminance(texts[0]["back"]) < .1) == (scheme == "dark")
    poor = [(round(contrast(pair["front"], pair["back"]), 2), pair) for pair in pairs
            if contrast(pair["front"], pair["back"]) < (4.5 if pair["what"].startswith("text") else 3)]
    assert poor == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_of_the_page_is_kept(show, scheme):
    page = show(ledgers.story(4000), how={"scheme": scheme})
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"report-{scheme}.png"
    page.picture(picture)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 100_000, "and it is not empty"
    assert_at_peace(page)


@pytest.mark.parametrize("count", [0, 50])
def test_a_narrow_page_does_not_scroll_sideways(show, count):
    page = show(ledgers.story(count), how={"width": 360, "height": 640}, layers=30)
    assert page.eval("document.documentElement.scrollWidth") == 360
    page.picture(PICTURES / f"report-narrow-{count}.png")
    page.size(1280, 900)
    if count:
        page.wait("document.querySelector('#map svg').getAttribute('viewBox').split(' ')[2] > 1000")
        assert_map_adds_up(page, page.copied("Moved"))


def test_a_printed_page_has_all_that_is_not_for_the_hand(show):
    page = show(ledgers.story(60), how={"width": 794, "media": "print"})
    assert page.eval("document.documentElement.scrollWidth") <= 794
    assert page.eval("getComputedStyle(document.querySelector('.sections')).display") == "none"
    pdf = base64.b64decode(page.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
    assert pdf.startswith(b"%PDF")


def test_empty_places_are_said_in_words(show):
    page = show([], volumes=False)
    words = page.eval("document.body.innerText")
    for sentence in ("Nothing was copied up.", "nothing to show over time", "The ledger is empty",
                     "No volume lies over this mount"):
        assert sentence in words
    assert page.eval("[...document.querySelectorAll('.controls, .search, .help')].every(e => !e.getClientRects().length)")
    assert_at_peace(page)


def test_many_layers_are_folded_and_unfold(show):
    page = show(ledgers.story(10), layers=300)
    assert page.eval("document.querySelectorAll('.layer').length") == 14
    page.click(".fold button")
    assert page.eval("[...document.querySelectorAll('.layer b')].map(b => b.innerText)") == [
        "upper", *(f"layer {n}" for n in range(300, 0, -1))]


def test_events_that_were_lost_are_told(template, browser, sandbox):
    data = ledgers.report(ledgers.story(10))
    data["Ledger"]["Lost"] = 7
    path = sandbox.path / "lost.html"
    path.write_text(ledgers.page_with(template, data))
    assert "7 events found no room" in Page(browser, path).open().text("#notices")


def test_a_hundred_thousand_events_are_drawn_with_few_elements(show):
    page = show(ledgers.story(100_000))
    assert page.path.stat().st_size < 10_000_000
    assert page.eval("document.querySelectorAll('*').length") < 3000
    assert_map_adds_up(page, page.copied("Moved"))
    largest = max(range(100_000), key=lambda i: (page.events["Size"][i], -i))
    page.click(page.header("events", 8) + " button")
    assert page.cells("events", 2)[0] == page.path_of(largest)
    page.click(page.header("by-path", 0) + " button")
    assert page.cells("by-path", 0)[0] == min(page.path_of(i) for i in range(100_000))
    page.search("sed /etc")
    assert page.text("#found") == f"{len(page.matching('sed /etc')):,} of 100,000 events"
    for click in ("[data-at='0']", "input[value=cause]", "input[value=bytes]", "input[value=order]"):
        page.click(click)
    assert page.eval("document.querySelectorAll('*').length") < 3000
    assert_at_peace(page)


# ---- what the program puts into it ---------------------------------------------------------------

# A path that ends the element it is in, if it can, and is no text.
ODD = b"/script>\xff\xfe\x01 \xe2\x80\xa8 name"


@pytest.fixture
def web(store, sandbox):
    """A mount with copy-ups of several kinds, and two volumes: (its name, where it is mounted)."""
    need_root()
    top, base = sandbox.directory("<") / "script><b>top", sandbox.directory("base")
    for path, size in ((base / "etc/conf", 3000), (base / "etc/other", 70_000), (base / "srv/data/one", 500),
                       (base / "srv/data/two", 20), (base / "usr/share/doc/a<b>&'\"", 1234), (base / "gone", 5),
                       (top / "srv/data/one", 600), (top / "bin/tool", 40_000)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    os.mkdir(base / "odd<")
    with open(os.fsencode(base / "odd<") + ODD, "wb") as file:
        file.write(b"y" * 77)
    sandbox.guard(top, base)
    store.plyfs("create", "--name", "web", "--lower", top, "--lower", base)
    store.plyfs("attach", "web", "data:/srv/data")
    store.plyfs("attach", "web", "type=tmpfs,target=/run")
    at = store.mount("web")
    with open(at / "etc/conf", "a") as file:
        file.write("more")
    run("sh", "-c", 'printf "</script><b>" >/proc/$$/comm; echo y >>"$0"', at / "etc/other")
    os.chmod(at / "bin/tool", 0o700)
    with open(at / "usr/share/doc/a<b>&'\"", "ab") as file:
        file.write(b"z")
    with open(os.fsencode(at / "odd<") + ODD, "ab") as file:
        file.write(b"z")
    os.unlink(at / "gone")
    return "web", at


def told(store, name):
    return json.loads(store.plyfs("report", "--json", name).stdout)


def rows_of(ledger):
    """The events of a report as `copyups` tells them, but for moments, which are nanoseconds after the first."""
    events, rows = ledger["Events"], []
    for i in range(ledger["Count"]):
        directory, name = ledger["Directories"][events["Directory"][i]], ledger["Names"][events["Name"][i]]
        rows.append({"Path": directory.rstrip("/") + "/" + name if name else directory,
                     **ledger["Processes"][events["Process"][i]],
                     **{field: ledger[words][events[field][i]] for field, words in (
                         ("Event", "Kinds"), ("Type", "Types"), ("Cause", "Causes"), ("Means", "Means"))},
                     **{field: events[field][i] for field in ("Layer", "Size", "Moved", "Duration")}})
    return rows


def test_the_report_holds_the_ledger_event_for_event_mounted_and_not(store, web):
    name, _ = web
    for _ in range(2):
        ledger = told(store, name)["Ledger"]
        said = [json.loads(line) for line in store.plyfs("copyups", "--all", "--json", name).stdout.splitlines()]
        assert len(said) > 6 and ledger["Lost"] == 0 and ledger["From"] == min(row["Time"] for row in said)
        fields = set(rows_of(ledger)[0])
        assert rows_of(ledger) == [{field: row[field] for field in fields} for row in said]
        store.plyfs("umount", name, check=False)


def test_layers_are_told_from_above_with_their_sizes(store, web, sandbox):
    name, _ = web
    layers = told(store, name)["Layers"]
    described = json.loads(store.plyfs("inspect", name).stdout)[0]
    assert [layer["Layer"] for layer in layers] == ["upper", 2, 1]
    assert [layer["Path"] for layer in layers] == [described["UpperDir"], *described["Layers"]]
    assert [layer["Size"] for layer in layers] == [described["Size"], 40_600, 3000 + 70_000 + 520 + 1234 + 5 + 77]
    assert [layer["Files"] for layer in layers[1:]] == [5, 14]


def test_layers_of_an_image_are_told_by_name_and_id(store, sandbox):
    tree = sandbox.directory("tree")
    (tree / "file").write_text("12345")
    run("tar", "-C", tree, "-cf", sandbox.path / "one.tar", ".")
    store.plyfs("image", "import", "one:1", sandbox.path / "one.tar")
    store.plyfs("create", "--name", "web", "one:1")
    data = told(store, "web")
    upper, layer = data["Layers"]
    assert upper["Layer"] == "upper" and upper["Size"] == 0
    known = json.loads(store.plyfs("layer", "ls", "--format", "json", "--no-trunc").stdout.splitlines()[0])
    assert (layer["Layer"], layer["Size"], layer["Id"]) == (1, 5, known["Id"])
    assert data["Mount"]["Image"] == "one:1"


def test_volumes_are_told_with_what_they_hide(store, web):
    name, _ = web
    volumes = {volume["Destination"]: volume for volume in told(store, name)["Volumes"]}
    shadows = {row["Destination"]: row
               for row in map(json.loads, store.plyfs("shadow", "--json", name).stdout.splitlines())}
    assert set(volumes) == set(shadows) == {"/srv/data", "/run"}
    for destination, volume in volumes.items():
        for field in ("Type", "Hides", "Hidden"):
            assert volume[field] == shadows[destination][field]
    assert {(one["Path"], one["Layer"], one["Size"]) for one in volumes["/srv/data"]["Paths"]} == {
        ("/srv/data/one", "2", 600), ("/srv/data/two", "1", 20)}


def test_a_page_of_a_real_mount_shows_what_it_did(store, web, browser, sandbox):
    name, _ = web
    path = sandbox.path / "real.html"
    store.plyfs("report", name, "-o", path)
    page = Page(browser, path).open()
    assert page.text("h1") == name and "mounted" in page.text("#facts")
    copied = [json.loads(line) for line in store.plyfs("copyups", "--json", name).stdout.splitlines()]
    assert_map_adds_up(page, sum(row["Moved"] for row in copied))
    assert sorted(page.cells("events", 2)) == sorted(page.path_of(i) for i in range(page.data["Ledger"]["Count"]))
    assert re.search(r"^\s*</script><b> 1$", page.text("#legend"), re.M) and "script><b>top" in page.text("#stack")
    assert "/usr/share/doc/a<b>&'\"" in page.text("#by-path")
    assert "1 file, 600 B of layer 2; 1 file, 20 B of layer 1" in page.text("#routes").replace("\xa0", " ")
    assert "/odd</script>\\xff\\xfe" in page.text("#events")
    assert page.eval("document.scripts.length") == 2
    assert_at_peace(page)


def test_a_ledger_of_a_hundred_thousand_events_is_a_page_of_a_few_megabytes(store, sandbox, browser):
    store.plyfs("create", "--name", "web", "--lower", sandbox.directory("lower"))
    with sqlite3.connect(store.path / "catalog.db") as catalog:
        catalog.execute("INSERT INTO ledger (number, mount) SELECT 1, id FROM mount")
        catalog.executemany("INSERT INTO event VALUES (1, ?, ?, 'copyup', ?, 'write', 1, 32768, ?, 0, 'dpkg', 0, ?, ?, "
                            "'copy_file_range', 20000)", (
                                (n, 1_700_000_000_000_000_000 + n * 50_000, f"/usr/share/doc/package-{n // 40}/file-{n}.txt",
                                 100 + n // 1000, 3000 + n % 7, 3000 + n % 7) for n in range(1, 100_001)))
    catalog.close()
    path = sandbox.path / "many.html"
    store.plyfs("report", "web", "-o", path)
    assert path.stat().st_size < 12_000_000
    page = Page(browser, path).open()
    assert page.data["Ledger"]["Count"] == 100_000
    assert page.eval("document.querySelectorAll('*').length") < 3000
    assert_map_adds_up(page, sum(3000 + n % 7 for n in range(1, 100_001)))
    assert_at_peace(page)


def test_the_page_goes_where_it_is_asked_to(store, web, sandbox):
    name, _ = web
    done = store.plyfs("report", name, "-o", sandbox.path / "a.html")
    assert done.stdout == "" and (sandbox.path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert store.plyfs("report", name).stdout.startswith("<!DOCTYPE html>")
    assert store.plyfs("report", name, "-o", "-").stdout.startswith("<!DOCTYPE html>")
    store.plyfs("report", "--json", name, "-o", sandbox.path / "a.json")
    assert json.loads((sandbox.path / "a.json").read_text())["Mount"]["Name"] == name


def test_a_report_that_fails_leaves_the_file_that_was_there(store, web, sandbox):
    name, _ = web
    path = sandbox.path / "kept.html"
    path.write_text("kept")
    store.refused("report", "other", "-o", path, words="no such mount: other")
    store.refused("report", name, "-o", sandbox.path / "none/a.html", words="No such file")
    store.refused("report", name, "-o", "/dev/full", words="No space left")
    assert path.read_text() == "kept" and sorted(p.name for p in sandbox.path.glob("*.html*")) == ["kept.html"]


def test_a_page_is_nothing_for_a_terminal(store, web):
    name, _ = web
    need_tool("script")
    command = f"{store.program} report {name}"
    done = subprocess.run(["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, env={**os.environ, "PLYFS_ROOT": str(store.path)}, timeout=60)
    assert done.returncode == 1 and "use -o FILE" in done.stdout and "DOCTYPE" not in done.stdout


def test_a_layer_that_is_gone_has_no_size_and_the_rest_is_told(store, sandbox):
    lower = sandbox.directory("lower")
    store.plyfs("create", "--name", "web", "--lower", lower)
    os.rmdir(lower)
    done = store.plyfs("report", "--json", "web")
    assert "cannot look at how large" in done.stderr
    assert [(layer["Layer"], layer["Size"]) for layer in json.loads(done.stdout)["Layers"]] == [("upper", 0), (1, None)]


def test_the_same_build_makes_the_same_page(template, tmp_path):
    pages = ROOT / "fs" / "page"
    for name in ("one.c", "two.c"):
        run("python3", pages / "join.py", tmp_path / name, pages / "page.html", pages / "page.css",
            *sorted(pages.glob("*.js")))
    assert (tmp_path / "one.c").read_bytes() == (tmp_path / "two.c").read_bytes()


def test_the_shell_completes_mounts(store, web):
    assert complete(store, "plyfs report w") == ["web"]
    assert complete(store, "plyfs report --o") == ["--output"]
