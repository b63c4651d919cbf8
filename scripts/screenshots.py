"""Screenshots of a running App for the README: start `make demo`, then run this with the App's address."""

import sys
from pathlib import Path

from ensure_chromium import find
from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"


def main(url):
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=["--no-sandbox", "--disable-gpu"])
        for theme in ("dark", "light"):
            context = browser.new_context(viewport={"width": 1500, "height": 1130}, color_scheme=theme)
            context.add_init_script(f"localStorage.setItem('mui-mode', '{theme}')")
            page = context.new_page()
            page.goto(url)
            page.get_by_text("Dismiss", exact=True).click(timeout=60_000)
            page.get_by_role("button").filter(has_text="Show coreset").first.click(timeout=60_000)
            page.wait_for_timeout(8_000)
            page.screenshot(path=FOLDER / f"panel-{theme}.png")
            context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:5151/datasets/elfs-digits")
