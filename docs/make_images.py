"""Make the pictures of the docs from a run: `make docs-images`.

The grid of the report as a small PNG, and, where there is a Chromium or Chrome, the first screen of the report. With
its driver too, the page of `hashgen serve`, with a post of the test split.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

WINDOW = (1280, 900)
COLOURS = 256
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def shrink(source: Path, target: Path) -> None:
    """Save a picture as a PNG of `COLOURS` colours: less than a third of its size, and drawings look the same."""
    with Image.open(source) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    target.parent.mkdir(parents=True, exist_ok=True)
    small.save(target, optimize=True)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


def shoot(page: Path, target: Path) -> None:
    """Save what a browser of `WINDOW` pixels shows of an HTML file; nothing is done where there is no browser."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        print(f"{target}: left as it is, no {' or '.join(BROWSERS)} here")
        return
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder, "shot.png")
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}"]
        size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
        command = [browser, *options, size, f"--screenshot={shot}", page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        shrink(shot, target)


def shoot_page(target: Path) -> None:
    """Save what a browser shows of `hashgen serve` with the second example and two of its suggestions taken."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        print(f"{target}: left as it is, no chromium with chromedriver here")
        return
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "hashgen", "serve", "--port", str(port)], stdout=subprocess.PIPE)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,1120"):
        options.add_argument(argument)
    try:
        assert server.stdout is not None and server.stdout.readline()  # the address, once it is ready
        page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        page.get(f"http://127.0.0.1:{port}/")
        wait = WebDriverWait(page, 30)
        wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "#example-list button"))[1].click()
        for taken in (1, 2):
            chips = wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "#chips button"))
            page.execute_script("arguments[0].click()", chips[0])
            wait.until(lambda _, n=taken: len(page.find_elements(By.CSS_SELECTOR, "#chosen li")) == n)
            time.sleep(1)  # until the suggestions have followed
        page.execute_script("document.activeElement.blur()")
        with tempfile.TemporaryDirectory() as folder:
            page.save_screenshot(str(Path(folder, "shot.png")))
            shrink(Path(folder, "shot.png"), target)
        page.quit()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    grid, report, out = (Path(argument) for argument in sys.argv[1:])
    shrink(grid, out / "grid.png")
    shoot(report, out / "report.png")
    shoot_page(out / "page.png")
