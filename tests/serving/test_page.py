"""The page in a real browser: Debian's chromium, driven by selenium."""

import base64
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_core_python  # type: ignore[import-untyped]
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from hashgen.serving.app import Bounds
from hashgen.serving.examples import Sample
from hashgen.serving.memory import Memory
from tests.doubles.suggester_double import SuggesterDouble
from tests.serving.conftest import Listening, picture

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install -y chromium chromium-driver"
    ),
]
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
TYPED = "Time to train"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", *sandbox):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    yield driver
    driver.quit()


class Page:
    """The page, opened. expected: parts of the console's errors that a test brings about."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser, self.address = browser, address
        self.expected: tuple[str, ...] = ()

    def open(self) -> None:
        self.browser.get(self.address)
        self.until(lambda: "learnt from" in self.text("#banner"))

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def tags(self, where: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((item) => item.dataset.hashtag)"
        return list(self.browser.execute_script(script, f"{where} > li"))

    def until(self, is_so: Callable[[], bool]) -> None:
        WebDriverWait(self.browser, 15, 0.02).until(lambda _: is_so())

    def suggests(self, *first: str) -> None:
        """Wait until these are the first suggestions."""
        self.until(lambda: self.tags("#chips")[: len(first)] == list(first))

    @property
    def caption(self) -> WebElement:
        return self.one("#caption")

    def type(self, text: str) -> None:
        self.caption.send_keys(text)

    def value(self) -> str:
        return str(self.browser.execute_script("return document.getElementById('caption').value"))

    def click(self, selector: str) -> None:
        self.one(selector).click()

    def focused(self) -> str:
        script = "const e = document.activeElement; return e.id || e.getAttribute('aria-label') || e.textContent.trim()"
        return str(self.browser.execute_script(script))

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.browser).send_keys(*keys).perform()

    def choose(self, file: Path) -> None:
        self.one("#file").send_keys(str(file))

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def colours(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def logged(self, kind: str) -> list[dict[str, Any]]:
        """What the browser's log of a kind has had since it was last read."""
        return list(self.browser.get_log(kind))  # type: ignore[no-untyped-call]

    def clipboard(self) -> str:
        return str(self.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))


@pytest.fixture
def page(browser: webdriver.Chrome, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Open the page of a server. At the end: no errors in the console, no request to anybody else."""
    listening: Listening = request.getfixturevalue("listening")
    opened: list[Page] = []

    def start(*arguments: Any, **options: Any) -> Page:
        page = Page(browser, listening(*arguments, **options))
        page.logged("performance")
        page.logged("browser")
        page.resize(1280, 900)
        page.colours("light")
        opened.append(page)
        page.open()
        return page

    yield start
    (found,) = opened
    errors = [entry["message"] for entry in found.logged("browser")]
    assert [one for one in errors if not any(part in one for part in found.expected)] == []
    for entry in found.logged("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            assert url.startswith((f"{found.address}/", "blob:", "data:")), url
    browser.execute_script("localStorage.clear()")
    browser.get("about:blank")


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    file = tmp_path / "blue.jpg"
    file.write_bytes(picture("blue"))
    return file


def test_chips_follow_caption_and_picture(page: Callable[..., Page], blue: Path) -> None:
    it = page()
    assert it.text("#empty") == "Add a picture or start to write. Hashtags appear here as you type."
    it.type("Time to train")
    it.suggests("fitness", "gym")
    assert it.text("#notes") == "No picture: the caption alone decides."
    it.choose(blue)
    it.until(lambda: "blue" in it.tags("#chips"))
    assert it.one("#preview").is_displayed()
    assert it.text("#notes") == ""
    it.caption.clear()
    it.type("at the beach")
    it.suggests("beach", "beachlife")
    it.click("#remove")
    it.until(lambda: "blue" not in it.tags("#chips"))
    assert not it.one("#preview").is_displayed()
    it.click("#clear")
    it.suggests()
    it.until(lambda: it.tags("#chips") == [])


def test_tab_takes_the_first(page: Callable[..., Page]) -> None:
    it = page()
    it.type(TYPED)
    it.suggests("fitness")
    it.type(Keys.TAB)
    assert (it.focused(), it.tags("#chosen"), it.value()) == ("caption", ["fitness"], TYPED)
    it.suggests("gym")
    assert it.text("#counter") == "1 of 5 for Instagram"
    it.until(lambda: it.text("#said") == "#fitness taken. 1 of 5 for Instagram" or "first #gym" in it.text("#said"))
    for first in ("gym", "workout", "nodaysoff", "fitfam"):
        it.suggests(first)
        it.type(Keys.TAB)
    assert it.text("#counter") == "5 of 5 for Instagram"
    # There is no room for more: Tab moves on as everywhere.
    it.type(Keys.TAB)
    assert it.focused() != "caption"


def test_escape_lets_tab_move_on(page: Callable[..., Page]) -> None:
    it = page()
    it.type(TYPED)
    it.suggests("fitness")
    it.type(Keys.ESCAPE + Keys.TAB)
    assert it.focused() != "caption"
    assert it.tags("#chosen") == []


def test_click_takes_any_and_the_cross_bans(page: Callable[..., Page]) -> None:
    it = page()
    it.type(TYPED)
    it.suggests("fitness")
    it.click("#chips > li:nth-child(3) .take")
    assert it.tags("#chosen") == ["workout"]
    it.suggests("fitness", "gym", "nodaysoff")
    it.click("[aria-label='Keep #gym off']")
    it.suggests("fitness", "nodaysoff")
    assert it.tags("#banned") == ["gym"]
    it.click("[aria-label='Remove #workout']")
    it.suggests("fitness", "workout")
    # What is kept off stays so in this browser, what was written does not.
    it.open()
    assert (it.tags("#banned"), it.value()) == (["gym"], "")
    it.click("[aria-label='Allow #gym again']")
    it.type(TYPED)
    it.suggests("fitness", "gym")


def test_a_prefix_filters_and_tab_completes_it(page: Callable[..., Page]) -> None:
    it = page()
    it.type("train #n")
    it.suggests("nodaysoff", "nature")
    assert it.tags("#chips") == ["nodaysoff", "nature"]
    it.type(Keys.TAB)
    assert (it.value(), it.focused()) == ("train #nodaysoff ", "caption")
    it.suggests("fitness")
    assert (it.tags("#chosen"), it.text("#counter")) == (["nodaysoff"], "1 of 5 for Instagram")
    it.type("#na")
    it.suggests("nature")
    it.click("#chips .take")
    assert it.value() == "train #nodaysoff #nature "
    it.type("#zz")
    it.until(lambda: it.text("#empty") == "No hashtag that the model knows starts with #zz.")


def test_hashtags_in_the_caption_count_and_are_not_repeated(page: Callable[..., Page]) -> None:
    it = page()
    it.type("train #gym a.b/#no c#1 #Gym now")
    it.suggests("fitness", "workout")
    assert it.tags("#chosen") == ["gym"]


def test_platforms_and_their_limits(page: Callable[..., Page]) -> None:
    it = page()
    it.type(TYPED)
    it.suggests("fitness")
    it.click("#chips .take")
    it.suggests("gym")
    it.click("#chips .take")
    Select(it.one("#platform")).select_by_value("threads")
    assert it.text("#counter") == "2 of 1 for Threads: 1 too many"
    # The limit is said, not forced: there is more to choose from.
    it.suggests("workout", "nodaysoff")
    Select(it.one("#platform")).select_by_value("mastodon")
    assert it.text("#counter") == "2 for Mastodon"
    it.open()
    assert it.text("#counter") == "0 for Mastodon"


def test_broad_and_niche(page: Callable[..., Page]) -> None:
    it = page()
    it.type(TYPED)
    it.suggests("fitness")
    it.click(".mix label:nth-child(4)")
    it.suggests("nature", "picoftheday")


def test_copy(page: Callable[..., Page]) -> None:
    it = page()
    assert not it.one("#copy").is_enabled()
    it.type("train #gym now")
    it.suggests("fitness")
    it.type(Keys.TAB)
    it.click("#copy")
    it.until(lambda: it.text("#copy") == "Copied")
    assert it.clipboard() == "train #gym now\n\n#fitness"
    it.click("#copy-tags")
    it.until(lambda: it.text("#copy-tags") == "Hashtags only" and it.clipboard() == "#gym #fitness")


def test_why(page: Callable[..., Page]) -> None:
    it = page()
    it.type(TYPED)
    it.suggests("fitness")
    it.click("#chips .share")
    it.until(lambda: it.one("#why").is_displayed())
    assert it.text("#why").splitlines() == [
        "Words that speak for it: “train”",
        "The caption adds 20 points of 100",
        "412 training posts have it",
        "Like the posts p1, p2",
    ]
    it.press(Keys.ESCAPE)
    assert not it.one("#why").is_displayed()
    it.caption.click()
    it.press(Keys.ESCAPE, Keys.TAB)
    while not it.focused().startswith("Take #gym"):
        it.press(Keys.TAB)
    it.until(lambda: "375 training posts" in it.text("#why"))


def test_saved_sets(page: Callable[..., Page]) -> None:
    it = page()
    it.type(TYPED)
    it.suggests("fitness")
    it.type(Keys.TAB)
    it.suggests("gym")
    it.click("summary")
    it.one("#set-name").send_keys("sport", Keys.ENTER)
    it.until(lambda: "#fitness" in it.text("#sets"))
    it.click("[aria-label='Keep #gym off']")
    it.suggests("workout")
    Select(it.one("#set-kind")).select_by_value("off")
    it.one("#set-name").send_keys("dull", Keys.ENTER)
    it.until(lambda: "#gym" in it.text("#sets"))
    it.open()
    it.click("summary")
    it.click("[aria-label='Add the set sport']")
    assert it.tags("#chosen") == ["fitness"]
    it.type(TYPED)
    it.suggests("workout")
    it.click("#sets [type=checkbox]")
    it.suggests("gym", "workout")
    it.click("[aria-label='Delete the set sport']")
    assert "sport" not in it.text("#sets")


def test_examples_and_paste(page: Callable[..., Page]) -> None:
    it = page(samples=lambda: [Sample("a walk on the beach", picture("green", kind="JPEG"))])
    it.until(lambda: it.one("#examples").is_displayed())
    it.click("#example-list button")
    it.until(lambda: it.value() == "a walk on the beach" and "forest" in it.tags("#chips"))
    paste = """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    """
    it.browser.execute_script(paste, base64.b64encode(picture("red", kind="PNG")).decode())
    it.until(lambda: "sunset" in it.tags("#chips"))


def test_a_picture_that_is_refused(page: Callable[..., Page], tmp_path: Path) -> None:
    it = page()
    it.expected = ("415", "ERR_FILE_NOT_FOUND")
    (tmp_path / "text.jpg").write_text("hello")
    it.choose(tmp_path / "text.jpg")
    it.until(lambda: it.one("#refused").is_displayed())
    assert it.text("#refused") == ("Picture: not a picture that can be read; send a JPEG, PNG, WebP, GIF or TIFF file.")
    assert not it.one("#preview").is_displayed()
    (tmp_path / "large.jpg").write_bytes(bytes(11 * 2**20))
    it.choose(tmp_path / "large.jpg")
    it.until(lambda: it.text("#refused") == "This picture has 11.0 MB; the most is 10 MB. Choose a smaller one.")


def test_a_forgotten_picture_is_sent_again(page: Callable[..., Page], blue: Path) -> None:
    memory = Memory()
    it = page(pictures=memory)
    it.expected = ("404",)
    it.choose(blue)
    it.suggests("blue")
    memory._kept.clear()
    it.type(TYPED)
    it.until(lambda: {"fitness", "blue"} <= set(it.tags("#chips")))


class Slow(SuggesterDouble):
    """Waits before it answers a caption that says so."""

    def suggest(self, picture: int | None = None, caption: str = "", **options: Any) -> Any:
        if "slow" in caption and self.hold is not None:
            self.hold.wait(20)
        hold, self.hold = self.hold, None
        try:
            return super().suggest(picture, caption, **options)
        finally:
            self.hold = hold


def test_a_stale_answer_is_dropped(page: Callable[..., Page]) -> None:
    hold = threading.Event()
    double = Slow(hold=hold)
    it = page(double, Bounds(suggesters=2))
    it.type("train slow")
    it.until(lambda: "waiting" in (it.one("#chips").get_attribute("class") or ""))
    it.caption.send_keys(Keys.CONTROL + "a")
    it.type("coffee")
    it.suggests("coffee")
    hold.set()
    it.until(lambda: [call["caption"] for call in double.calls][-1:] == ["train slow"])
    it.type(" time")
    it.suggests("coffee", "coffeetime")


def test_the_server_goes_and_comes_back(page: Callable[..., Page]) -> None:
    it = page()
    it.expected = ("ERR_INTERNET_DISCONNECTED",)
    network = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    it.browser.execute_cdp_cmd("Network.enable", {})
    it.browser.execute_cdp_cmd("Network.emulateNetworkConditions", network)
    it.type(TYPED)
    message = "The server does not answer. Is hashgen serve still running? Trying again…"
    it.until(lambda: it.text("#trouble") == message)
    it.browser.execute_cdp_cmd("Network.emulateNetworkConditions", {**network, "offline": False})
    it.suggests("fitness")
    assert not it.one("#trouble").is_displayed()


def test_too_busy_is_said_and_tried_again(page: Callable[..., Page]) -> None:
    hold = threading.Event()
    double = Slow(hold=hold)
    it = page(double, Bounds(suggesters=1, waiting=0))
    it.expected = ("503",)
    it.type("slow")
    it.until(lambda: "waiting" in (it.one("#chips").get_attribute("class") or ""))
    it.type(" train")
    it.until(lambda: it.text("#trouble") == "One moment: too busy; try again in a second")
    hold.set()
    it.suggests("fitness")


@pytest.mark.parametrize("width", [360, 390, 768])
def test_narrow_screens(page: Callable[..., Page], blue: Path, width: int) -> None:
    it = page()
    it.resize(width, 800)
    it.choose(blue)
    it.type("train #" + "w" * 60 + " ")
    it.suggests("fitness")
    it.click("#chips .take")
    it.click("#chips .off")
    it.click("summary")
    wider = """
        return [...document.querySelectorAll("body *")].filter((element) => {
          const box = element.getBoundingClientRect();
          return box.width > 1 && (box.right > innerWidth + 1 || box.left < -1);
        }).map((element) => element.outerHTML.slice(0, 80));
    """
    assert it.browser.execute_script(wider) == []
    assert it.browser.execute_script("return document.documentElement.scrollWidth") <= width
    it.click("#chips .share")
    it.until(lambda: it.one("#why").is_displayed())
    assert it.browser.execute_script(wider) == []


def test_dark(page: Callable[..., Page]) -> None:
    it = page()

    def ground() -> str:
        return str(it.browser.execute_script("return getComputedStyle(document.body).backgroundColor"))

    assert (ground(), it.text("#theme")) == ("rgb(246, 247, 246)", "Dark")
    it.colours("dark")
    it.until(lambda: (ground(), it.text("#theme")) == ("rgb(17, 21, 20)", "Light"))
    it.click("#theme")
    assert ground() == "rgb(246, 247, 246)"
    it.open()
    assert ground() == "rgb(246, 247, 246)"


def test_by_keyboard_alone(page: Callable[..., Page]) -> None:
    it = page()

    def tab_to(name: str) -> None:
        for _ in range(40):
            if it.focused().startswith(name):
                return
            it.press(Keys.TAB)
        raise AssertionError(it.focused())

    tab_to("file")
    tab_to("caption")
    it.press(TYPED)
    it.suggests("fitness")
    it.press(Keys.TAB)
    it.suggests("gym")
    it.press(Keys.ESCAPE)
    it.press(Keys.TAB)
    tab_to("Take #gym")
    it.press(Keys.ENTER)
    it.suggests("workout")
    # The focus stays where it was: on the first chip.
    assert it.focused().startswith("Take #workout")
    it.press(Keys.ARROW_RIGHT)
    assert it.focused().startswith("Take #nodaysoff")
    it.press(Keys.DELETE)
    it.suggests("workout", "fitfam")
    assert it.tags("#banned") == ["nodaysoff"]
    tab_to("platform")
    it.press("T")
    assert it.text("#counter").endswith(" for Threads: 1 too many")
    tab_to("Remove #fitness")
    it.press(Keys.ENTER)
    assert it.tags("#chosen") == ["gym"]
    tab_to("copy")
    it.press(Keys.ENTER)
    it.until(lambda: it.text("#copy") == "Copied")
    assert it.clipboard() == f"{TYPED}\n\n#gym"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_nothing(page: Callable[..., Page], blue: Path, width: int, scheme: str) -> None:
    it = page(samples=lambda: [Sample("a walk", picture())])
    it.resize(width, 900)
    it.colours(scheme)

    def faults() -> list[Any]:
        it.browser.execute_script(AXE)
        found = it.browser.execute_async_script("axe.run().then(arguments[0])")
        return [(one["id"], one["impact"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]

    assert faults() == []
    it.choose(blue)
    it.type("train #gym ")
    it.suggests("fitness")
    it.type(Keys.TAB)
    it.suggests("workout")
    it.click("#chips .off")
    it.suggests("nodaysoff")
    it.click("summary")
    it.one("#set-name").send_keys("sport", Keys.ENTER)
    Select(it.one("#platform")).select_by_value("threads")
    it.click("#chips .share")
    it.until(lambda: it.one("#why").is_displayed())
    assert faults() == []
