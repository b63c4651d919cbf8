"""Makes sure the browser tests find a Chromium: an installed one, Playwright's own, or the system's package."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find():
    """The path of a Chromium, or None."""
    named = os.environ.get("ELFS_CHROMIUM")
    if named:
        return named
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if path and os.path.exists(path) else None


def main():
    if find():
        return
    print("No Chromium found; trying Playwright's download", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], timeout=600)
    if find():
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        print("Playwright's download failed; installing the system package", flush=True)
        subprocess.run(["apt-get", "update", "-qq"])
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"])
    if not find():
        sys.exit("The browser tests need Chromium. Install it, or name it: export ELFS_CHROMIUM=/path/to/chromium")


if __name__ == "__main__":
    main()
