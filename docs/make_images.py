"""Make the pictures of the docs from a run: `make docs-images`.

The grid of the report as a small PNG, and, where there is a Chromium or Chrome, the first screen of the report.
"""

import shutil
import subprocess
import sys
import tempfile
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


if __name__ == "__main__":
    grid, report, out = (Path(argument) for argument in sys.argv[1:])
    shrink(grid, out / "grid.png")
    shoot(report, out / "report.png")
