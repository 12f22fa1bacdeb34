"""A Chromium for tests of the page, and what axe-core says of a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BROWSER = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (found := shutil.which(name))
    ),
    None,
)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


def watched(context: Any, address: str, **how: Any) -> tuple[Any, list[str], list[str]]:
    """An opened page, what its console says, and what it asks of a network.

    `context` is a browser or a context of one; `how` goes to its `new_page`.
    """
    page = context.new_page(**how)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: _note(said, message))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append("a dialog opened") or dialog.dismiss())
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("html[data-ready=yes]")
    return page, said, asked


def _note(said: list[str], message: Any) -> None:
    if message.type in ("error", "warning"):
        said.append(f"{message.type}: {message.text}")


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def grave(page: Any) -> list[tuple[str, list[str]]]:
    """What axe-core finds serious or critical: the rule, and three places."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for one in Axe().run(page).response["violations"]:
        if one["impact"] in ("serious", "critical"):
            places = [node["html"][:160] for node in one["nodes"]]
            found.append((one["id"], places[:3]))
    return found


def plotted(page: Any) -> set[str]:
    """The models that the plot has a mark of."""
    ids = page.evaluate(
        "document.getElementById('plot').data.flatMap((one) => one.customdata ?? [])"
    )
    every = page.evaluate("JSON.parse(document.getElementById('data').textContent).points")
    return {every[place]["model"] for place in ids}


def names_in_plot(page: Any) -> tuple[list[str], list[str]]:
    """The names that the plot shows, and those of them that reach out of it."""
    frame = page.locator("#plot").bounding_box()
    shown, outside = [], []
    for text in page.locator("#plot .textpoint text").all():
        name, box = text.inner_html().strip("\u00a0 "), text.bounding_box()
        if not name.replace("&nbsp;", ""):
            continue
        shown.append(name)
        across = frame["x"] <= box["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"]
        down = frame["y"] <= box["y"] and box["y"] + box["height"] <= frame["y"] + frame["height"]
        if not (across and down):
            outside.append(name)
    return shown, outside


def in_view(page: Any, selector: str) -> bool:
    """True if all of an element is inside the window."""
    box, size = page.locator(selector).first.bounding_box(), page.viewport_size
    across = box["x"] >= 0 and box["x"] + box["width"] <= size["width"]
    return across and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]
