"""A report in headless Chromium, from disk: does what is promised work, by mouse, by keyboard, on a
phone, in the dark, on paper, and does nothing reach for the network or run that is not ours?

    report_browser.py IMAGES PAGE [PAGE...]

The first page is gone through, of the others only the basics. IMAGES: the test images, gzipped IDX.
"""
import gzip
import json
import pathlib
import re
import shutil
import sys
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

HOSTILE = ["<img src=x onerror=alert(1)>", "\"></script><script>alert(2)</script>"]
CAP = 40  # right images of a cell


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def start(profile):
    options = Options()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-first-run", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def screen(driver, width, height, mobile=False):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile})


def media(driver, kind="screen", scheme="light"):
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "media": kind, "features": [{"name": "prefers-color-scheme", "value": scheme}]})


def find(driver, selector):
    return driver.find_elements("css selector", selector)


def ask(driver, script, *arguments):
    return driver.execute_script(f"return {script}", *arguments)


def click(driver, element):
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()  # fails where another element lies over it


def press(driver, *keys):
    ActionChains(driver).send_keys(*keys).perform()


def basics(driver, page):
    """Everything is there, nothing complains."""
    driver.get(page.as_uri())
    check(ask(driver, "document.documentElement.lang") == "en", "the page names no language")
    check(driver.title and driver.title == find(driver, "h1")[0].text, "no title")
    images = find(driver, "img")
    check(len(images) >= 7, f"{len(images)} charts")
    for image in images:
        check(image.get_attribute("alt"), "a chart without a text for it")
        check(ask(driver, "arguments[0].complete && arguments[0].naturalWidth > 100", image),
              f"'{image.get_attribute('alt')}' is not drawn")
    check(ask(driver, "getComputedStyle(document.querySelector('.gallery .image'))"
                      ".backgroundImage").startswith("url(\"data:image/png;base64,"),
          "images have no picture to come from")
    for width in (1280, 360):
        screen(driver, width, 740, mobile=width < 500)
        overflow = ask(driver, "document.documentElement.scrollWidth - window.innerWidth")
        check(overflow <= 0, f"at {width} pixels the page is {overflow} too wide")
        check(ask(driver, "window.innerWidth") == width, "the viewport is not the device's width")
    screen(driver, 1280, 900)


def sees_names(driver):
    """Class names that are markup are seen as they are, and did nothing."""
    names = [cell.text for cell in find(driver, "table.confusion thead th")]
    for name in HOSTILE:
        check(name in names, f"the class {name} is not among {names}")
    check(not find(driver, "[onerror], img[src='x']"), "a class name became an element")
    scripts = [script for script in find(driver, "script")
               if script.get_attribute("type") != "application/json"]
    check(len(scripts) == 3, f"{len(scripts)} scripts, expected 3")


def looks_into_cells(driver):
    """As many images as a cell counts, by a click and by Enter; Escape leads back."""
    cells = find(driver, "table.confusion button[data-cell]")
    counts = [int(cell.get_attribute("data-count")) for cell in cells]
    check(sum(counts) == 2 * 1000, f"the cells of two matrices count {sum(counts)} images")
    right = [cell.get_attribute("data-cell").split(",") for cell in cells]
    mistakes = [i for i, (_, a, p) in enumerate(right) if a != p]
    hits = [i for i, (_, a, p) in enumerate(right) if a == p]
    check(any(counts[i] > CAP for i in hits), "no cell counts more images than it shows")
    chosen = sorted(mistakes, key=lambda i: counts[i])[-2:] + [max(hits, key=lambda i: counts[i])]
    chosen += sorted(hits, key=lambda i: counts[i])[:1]
    for number, index in enumerate(chosen):
        cell, count = cells[index], counts[index]
        if number % 2:
            driver.execute_script("arguments[0].focus()", cell)
            press(driver, Keys.ENTER)
        else:
            click(driver, cell)
        panels = find(driver, ".cell-images:not([hidden])")
        check(len(panels) >= 1, f"cell {index} opens nothing")
        panel = ask(driver, "document.activeElement.closest('.cell-images')")
        check(panel, "the focus does not go to the images")
        expected = min(count, CAP) if index in hits else count
        shown = len(panel.find_elements("css selector", ".tile .image"))
        check(shown == expected, f"a cell of {count} shows {shown} images, expected {expected}")
        check(str(count) in panel.find_element("css selector", "h4").text, "the count is not told")
        if expected < count:
            check(f"The {expected} most confident" in panel.text, "the cap is not told")
        check(cell.get_attribute("aria-expanded") == "true", "aria-expanded")
        press(driver, Keys.ESCAPE)
        check(driver.switch_to.active_element == cell, "Escape does not lead back to the cell")
        check(cell.get_attribute("aria-expanded") == "false", "aria-expanded after Escape")


def shows_the_right_images(driver, records):
    """What lies behind a cell are the test images that it says: pixel by pixel."""
    cells = find(driver, "table.confusion button[data-cell]")
    cell = max(cells, key=lambda cell: int(cell.get_attribute("data-count")))
    click(driver, cell)
    tiles = find(driver, ".cell-images .tile")[-3:]
    check(len(tiles) == 3, "no images to look at")
    for tile in tiles:
        number = int(re.search(r"image (\d+)", tile.text)[1])
        image = tile.find_element("css selector", ".image")
        pixels = driver.execute_async_script("""
            const style = getComputedStyle(arguments[0]), done = arguments[1];
            const atlas = new Image(), scale = parseFloat(style.width) / 28;
            atlas.onload = () => {
                const [x, y] = style.backgroundPosition.split(" ").map((p) => -parseFloat(p) / scale);
                const [w, h] = style.backgroundSize.split(" ").map((p) => parseFloat(p) / scale);
                const canvas = document.createElement("canvas");
                canvas.width = canvas.height = 28;
                const context = canvas.getContext("2d");
                context.drawImage(atlas, -x, -y);
                const same = w === atlas.naturalWidth && h === atlas.naturalHeight;
                done(same ? [...context.getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)
                    : "scaled unevenly");
            };
            atlas.src = style.backgroundImage.slice(5, -2);""", image)
        check(pixels == list(records[784 * number:784 * (number + 1)]), f"test image {number} is another")
    press(driver, Keys.ESCAPE)


def sorts_tables(driver):
    """By a click and by Enter on a heading, up and down."""
    table = find(driver, "table.sorts")[0]
    headings = table.find_elements("css selector", "thead th")
    column = [heading.text for heading in headings].index("parameters")

    def values():
        return [float(row.find_elements("css selector", "th, td")[column].get_attribute("data-value"))
                for row in table.find_elements("css selector", "tbody tr")]
    before = values()
    check(len(set(before)) == 2, f"expected two runs of unlike size, found {before}")
    button = headings[column].find_element("css selector", "button")
    click(driver, button)
    check(values() == sorted(before), f"ascending: {values()}")
    check(headings[column].get_attribute("aria-sort") == "ascending", "aria-sort")
    driver.execute_script("arguments[0].focus()", button)
    press(driver, Keys.ENTER)
    check(values() == sorted(before, reverse=True), f"descending: {values()}")
    check(headings[column].get_attribute("aria-sort") == "descending", "aria-sort")
    click(driver, headings[0].find_element("css selector", "button"))
    check(headings[column].get_attribute("aria-sort") is None, "two columns are sorted by")


def goes_by_keyboard(driver):
    """Skip link, arrows within a gallery, an image enlarged and left again, the filter."""
    driver.refresh()  # the tabulator goes on from where the last click was
    press(driver, Keys.TAB)
    check(driver.switch_to.active_element.text == "Skip to the content", "no skip link")
    outline = ask(driver, "getComputedStyle(document.activeElement).outlineStyle")
    check(outline != "none", "what has the focus is not seen")
    press(driver, Keys.ENTER)
    check(ask(driver, "document.activeElement.id") == "content", "the skip link leads nowhere")

    gallery = find(driver, ".gallery")[0]
    images = gallery.find_elements("css selector", ".image")
    check(len(gallery.find_elements("css selector", ".image[tabindex='0']")) == 1,
          "not one stop of the tabulator in a gallery")
    driver.execute_script("arguments[0].focus()", images[0])
    press(driver, Keys.ARROW_RIGHT)
    check(driver.switch_to.active_element == images[1], "the arrow does not move")
    press(driver, Keys.ENTER)
    dialog = find(driver, "dialog[open]")
    check(dialog, "Enter does not enlarge an image")
    check(dialog[0].find_element("css selector", ".image").size["width"] == 280, "not enlarged")
    first = dialog[0].text
    press(driver, Keys.ARROW_RIGHT)
    check(dialog[0].text != first, "no next image")
    press(driver, Keys.ESCAPE)
    check(not find(driver, "dialog[open]"), "Escape does not close")
    check(driver.switch_to.active_element == images[2], "the focus is lost")

    tiles = len(images)
    filters = find(driver, ".tools input[type='search']")
    check(filters, "a long gallery has no filter")
    filters[0].send_keys("Sneaker")
    left = [tile for tile in gallery.find_elements("css selector", ".tile") if tile.is_displayed()]
    check(0 < len(left) < tiles and all("Sneaker" in tile.text for tile in left),
          f"the filter leaves {len(left)} of {tiles}")
    filters[0].clear()
    filters[0].send_keys("x", Keys.BACKSPACE)


def adapts(driver):
    """Dark where it is asked for, light on paper."""
    def colour():
        return ask(driver, "getComputedStyle(document.body).backgroundColor")
    light = colour()
    media(driver, scheme="dark")
    check(colour() != light, "the dark looks like the light")
    media(driver, kind="print", scheme="dark")
    check(colour() == "rgb(255, 255, 255)", f"on paper the ground is {colour()}")
    check(not find(driver, "nav")[0].is_displayed(), "the menu is printed")
    media(driver)


def keeps_to_itself(driver, pages):
    """Nothing was requested but the page; and its policy lets nothing through."""
    allowed = {page.as_uri() for page in pages}
    requests = 0
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] != "Network.requestWillBeSent":
            continue
        url = message["params"]["request"]["url"].split("#")[0]
        # The browser's own first tab asks for chrome: and chrome-untrusted: documents.
        if not message["params"]["documentURL"].startswith("chrome"):
            check(url in allowed or url.startswith("data:"), f"the page requests {url[:200]}")
            requests += 1
    check(requests >= len(pages), "the requests were not watched")
    complaints = driver.get_log("browser")
    check(not complaints, f"the console has {complaints}")
    stopped = driver.execute_async_script("""
        const done = arguments[0], stopped = [];
        document.addEventListener("securitypolicyviolation", (event) => {
            stopped.push(event.effectiveDirective);
            if (stopped.length === 3)
                done(stopped.sort());
        });
        fetch("http://127.0.0.1:9/").catch(() => {});
        new Image().src = "http://127.0.0.1:9/x.png";
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken over'";
        document.body.append(script);""")
    check(stopped == ["connect-src", "img-src", "script-src-elem"], f"the policy stops {stopped}")
    check(driver.title != "taken over", "a foreign script ran")


def main():
    pages = [pathlib.Path(name).resolve() for name in sys.argv[2:]]
    records = gzip.decompress(pathlib.Path(sys.argv[1]).read_bytes())[16:]
    began = time.time()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = start(profile)
        try:
            driver.set_script_timeout(20)
            for page in pages[1:]:
                basics(driver, page)
            basics(driver, pages[0])
            shows_the_right_images(driver, records)
            for step in (sees_names, looks_into_cells, sorts_tables, goes_by_keyboard, adapts):
                step(driver)
            keeps_to_itself(driver, pages)
        finally:
            driver.quit()
    print(f"{len(pages)} pages, {time.time() - began:.1f} s")


main()
