"""The reviewer's page in headless Chromium, from disk: a person goes through all pictures by
keyboard and mouse, takes something back, leaves and comes back, and saves.

    label_browser.py PAGE REVIEW_CSV DOWNLOADS
"""
import csv
import pathlib
import shutil
import sys
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def start(profile, downloads):
    options = Options()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-first-run", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.set_capability("unhandledPromptBehavior", "accept")
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


class Page:
    def __init__(self, driver, page):
        self.driver = driver
        self.page = page

    def open(self):
        self.driver.get(self.page.as_uri())

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def text(self, selector):
        return self.driver.find_element("css selector", selector).text

    def button(self, words):
        found = [button for button in self.driver.find_elements("css selector", "#review-box button")
                 if words in button.text]
        check(len(found) == 1, f"{len(found)} buttons '{words}'")
        return found[0]

    def at(self):
        """The row that is shown, from 1."""
        return int(self.text(".review-name").split(" of ")[0])

    def answered(self):
        return int(self.text("#review-box .tools").split(" of ")[0])


def goes_through(page, rows, classes):
    """Answers everything; returns what was answered, by name."""
    given = [row["suggestion"] for row in rows]
    first = page.text(".review-card")
    check(rows[0]["name"] in first and f"Suggestion: {rows[0]['suggestion']}" in first,
          f"the first is not the one whose answer is worth most: {first}")
    side = page.driver.find_element("css selector", ".review-picture .image").size["width"]
    check(side >= 200, f"the picture is {side} pixels wide")
    # Another class by its key, the next by the mouse; the key of Enter takes the suggestion.
    other = (classes.index(given[0]) + 1) % len(classes)
    page.press("1234567890"[other])
    given[0] = classes[other]
    check(page.at() == 2 and page.answered() == 1, "a number key is no answer")
    other = (classes.index(given[1]) + 2) % len(classes)
    page.button(f"{'1234567890'[other]} {classes[other]}").click()
    given[1] = classes[other]
    check(page.at() == 3 and page.answered() == 2, "a click on a class is no answer")
    page.press(Keys.ENTER)
    check(page.at() == 4 and page.answered() == 3, "Enter takes no suggestion")
    # Taken back, and given again; back and forth.
    page.press("u")
    check(page.at() == 3 and page.answered() == 2, "u takes nothing back")
    page.press(Keys.ARROW_LEFT)
    check(page.at() == 2 and f"Your answer: {given[1]}" in page.text(".review-card"), "arrow left")
    page.press(Keys.ARROW_RIGHT, Keys.ENTER)
    check(page.at() == 4 and page.answered() == 3, "arrow right, then Enter")
    # A visit ends, the next begins where it was.
    page.open()
    check(page.answered() == 3 and page.at() == 4, "what was answered is lost on the next visit")
    check("3 answers of an earlier visit" in page.text(".review-note"), "the visit before is not told")
    # One is left for later and comes last.
    page.press(Keys.ARROW_RIGHT)
    for _ in range(len(rows) - 4):
        page.press(Keys.ENTER)
    check(page.at() == 4 and page.answered() == len(rows) - 1, "what was left does not come back")
    page.press(Keys.ENTER)
    check(page.answered() == len(rows), f"{page.answered()} answers of {len(rows)}")
    check("All pictures have an answer" in page.text(".review-note"), "the end is not told")
    return {row["name"]: label for row, label in zip(rows, given)}


def saves(page, expected, downloads):
    file = downloads / "reviewed.csv"
    page.press("s")
    for _ in range(100):
        if file.exists():
            break
        time.sleep(0.1)
    check(file.exists(), "no reviewed.csv was saved")
    with open(file, newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    check(rows[0] == ["name", "label"], f"the heading is {rows[0]}")
    check(dict(rows[1:]) == expected, "reviewed.csv holds other answers than were given")
    check("not saved" not in page.text("#review-box .tools"), "saved answers count as not saved")


def fits(page):
    driver = page.driver
    for width in (360, 1280):
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 500})
        overflow = driver.execute_script(
            "return document.documentElement.scrollWidth - window.innerWidth")
        check(overflow <= 0, f"at {width} pixels the page is {overflow} too wide")
    images = len(driver.find_elements("css selector", ".image"))
    check(images <= 12, f"{images} images in the page: it does not scale")


def main():
    page, review, downloads = (pathlib.Path(name).resolve() for name in sys.argv[1:])
    with open(review, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    check(len(rows) >= 6, f"{len(rows)} pictures are too few to try the page")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = start(profile, downloads)
        try:
            shown = Page(driver, page)
            shown.open()
            check(shown.answered() == 0, "answers before there is one")
            classes = driver.execute_script("return fmnist.data('review').classes")
            fits(shown)
            expected = goes_through(shown, rows, classes)
            saves(shown, expected, downloads)
            complaints = driver.get_log("browser")
            check(not complaints, f"the console has {complaints}")
        finally:
            driver.quit()


main()
