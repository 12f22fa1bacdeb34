"""The page in Chromium, as a user works with it: at four widths, light and dark, with screenshots.

    python -m bench report --results results
    python -m tests.by_hand.page results/report.html /tmp/shots

Prints one line per check and ends with exit code 1 if one failed. Expect every line to begin with
`ok`, at 390, 800, 1280 and 1920 pixels. Look at the screenshots as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from ..browsing import grave, in_view, launched, names_in_plot, overflow, plotted, watched

WIDTHS = ((390, 844), (800, 1000), (1280, 800), (1920, 1080))
Check = tuple[str, bool, object]
"""What was checked, whether it holds, and what was found."""


def main(file: Path, shots: Path) -> int:
    """Walk through the page at every width; return 1 if a check failed, else 0."""
    shots.mkdir(parents=True, exist_ok=True)
    failed = 0
    with launched() as browser:
        for width, height in WIDTHS:
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    accept_downloads=True,
                )
                page, said, _ = watched(context, file.resolve().as_uri())
                stem = shots / f"{width}_{scheme}"
                for what, holds, found in checks(page, stem):
                    failed += not holds
                    print(
                        "ok    " if holds else "FAILED", width, scheme, what, "" if holds else found
                    )
                if said:
                    failed += 1
                    print("FAILED", width, scheme, "console", said)
                context.close()
    return int(failed > 0)


def checks(page: Any, stem: Path) -> Iterator[Check]:
    """Yield what was checked at one width."""
    page.screenshot(path=f"{stem}_first.png")
    yield "no horizontal overflow", overflow(page) <= 0, overflow(page)
    yield "names are inside the plot", *_names_inside(page)
    yield from _records(page, stem)
    yield from _sorting(page)
    yield from _filters(page)
    yield from _address(page)
    yield from _machines(page, stem)
    yield from _downloads(page)
    yield from _rest(page, stem)


def _rows(page: Any) -> list[str]:
    return page.locator("#rows tbody tr[data-id] td:first-child").all_inner_texts()


def _names_inside(page: Any) -> tuple[bool, object]:
    shown, outside = names_in_plot(page)
    return bool(shown) and not outside, (shown, outside)


def _records(page: Any, stem: Path) -> Iterator[Check]:
    page.locator("#plot").scroll_into_view_if_needed()
    mark = page.locator("#plot .scatterlayer path.point").first
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#plot .hoverlayer .hovertext")
    said = page.locator("#plot .hoverlayer").text_content()
    yield (
        "hovering says torch, policy and interval",
        "torch" in said and ("±" in said or "[" in said),
        said,
    )
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#record:not([hidden])")
    yield "a clicked point's record is in view", in_view(page, "#record-title"), ""
    yield "all of the record is in view", in_view(page, "#record"), ""
    record = page.locator("#record").bounding_box()
    covered = (
        record["x"] <= box["x"] <= record["x"] + record["width"]
        and record["y"] <= box["y"] <= record["y"] + record["height"]
    )
    yield "the record does not cover the clicked point", not covered, (box, record)
    page.screenshot(path=f"{stem}_record.png")
    page.keyboard.press("Escape")
    yield "Escape closes it", page.locator("#record").is_hidden(), ""
    row = page.locator("#rows tbody tr[data-id]").nth(2)
    row.scroll_into_view_if_needed()
    row.click(position={"x": 10, "y": 5})
    yield "a clicked row's record is in view", in_view(page, "#record"), ""
    yield "and the row is too", in_view(page, "#rows tbody tr.chosen td:first-child"), ""
    page.screenshot(path=f"{stem}_row.png")
    yield "no overflow with a record", overflow(page) <= 0, overflow(page)
    page.click("#close")


def _values(page: Any, key: str) -> list[float]:
    place = page.evaluate(
        "(key) => [...document.querySelectorAll('#rows thead th')]"
        ".findIndex((one) => one.dataset.key === key)",
        key,
    )
    found = page.locator(f"#rows tbody tr[data-id] td:nth-child({place + 1})").all()
    orders = [cell.get_attribute("data-order") for cell in found]
    return [float(order) if order else float("nan") for order in orders]


def _sorting(page: Any) -> Iterator[Check]:
    for head in page.locator("#rows thead th[data-key]").all():
        key = head.get_attribute("data-key")
        text = head.inner_text()
        if "↑" not in text and "↓" not in text:
            continue
        head.click()
        values = [value for value in _values(page, key) if value == value]
        best_first = sorted(values, reverse="↑" in text)
        yield (
            f"first click sorts best first: {key}",
            values == best_first and len(values) > 0,
            values,
        )
        ratio = page.locator('#rows thead th[data-key^="ratio"]').count()
    yield "there is a column of ratios", ratio > 0, ratio
    first = page.locator("#rows tbody td", has_text="[").count()
    yield "with intervals", first > 0, first


def _filters(page: Any) -> Iterator[Check]:
    search = page.get_by_role("searchbox")
    search.fill("convmixer")
    page.wait_for_timeout(300)
    rows, marks = set(_rows(page)), plotted(page)
    only = all("convmixer" in name for name in rows | marks)
    yield "search acts on both", bool(rows) and bool(marks) and only, (rows, marks)
    search.fill("")
    page.wait_for_timeout(300)
    for limit in ("params", "latency", "top1"):
        before = len(_rows(page)), len(plotted(page))
        slider = page.locator(f"#{limit}")
        slider.focus()
        page.keyboard.press("ArrowRight" if limit == "top1" else "ArrowLeft")
        page.keyboard.press("ArrowRight" if limit == "top1" else "ArrowLeft")
        after = len(_rows(page)), len(plotted(page))
        both = after[0] < before[0] and after[1] < before[1]
        yield f"the limit of {limit} acts on both", both, (before, after)
        page.keyboard.press("Home" if limit == "top1" else "End")
        yield f"and lets go: {limit}", (len(_rows(page)), len(plotted(page))) == before, before


def _address(page: Any) -> Iterator[Check]:
    labels = page.locator("#x option").all_inner_texts()
    page.select_option("#x", label=next(label for label in labels if label.startswith("param")))
    page.locator("#params").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("searchbox").fill("vit")
    page.wait_for_timeout(300)
    page.locator("#rows thead th", has_text="latency").first.click()
    page.locator("details", has=page.locator("#columns")).locator("summary").click()
    page.locator("#columns input[value=macs]").uncheck()
    page.locator("#rows tbody tr[data-id]").first.click(position={"x": 10, "y": 5})
    state = _state(page)
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("html[data-ready=yes]")
    again = _state(other)
    yield "a link restores the view", again == state, (state, again, unquote_plus(page.url))
    other.close()
    page.click("#close")
    page.click("#reset")


def _state(page: Any) -> object:
    menus = [
        page.locator(f"#{name}").input_value() for name in ("machine", "policy", "px", "x", "y")
    ]
    limits = [page.locator(f"#{name}-end").inner_text() for name in ("params", "latency", "top1")]
    heads = page.locator("#rows thead th").all_inner_texts()
    return [
        menus,
        limits,
        heads,
        _rows(page),
        sorted(plotted(page)),
        page.locator("#record-title").inner_text(),
        page.get_by_role("searchbox").input_value(),
    ]


def _machines(page: Any, stem: Path) -> Iterator[Check]:
    first = page.locator("#machine").input_value()
    for value in [one.get_attribute("value") for one in page.locator("#machine option").all()]:
        page.select_option("#machine", value=value)
        for axis in ("x", "y"):
            for key in [
                one.get_attribute("value") for one in page.locator(f"#{axis} option").all()
            ]:
                page.select_option(f"#{axis}", value=key)
                kind = page.evaluate(f"document.getElementById('plot')._fullLayout.{axis}axis.type")
                if key.startswith("top1"):
                    yield f"{key} is on a linear axis", kind == "linear", kind
        yield f"machine {value or 'all'} has rows", len(_rows(page)) > 0, ""
    named = names_in_plot(page)[0]
    yield "side by side names machines", bool(named) and all("·" in one for one in named), named
    page.screenshot(path=f"{stem}_all.png")
    page.select_option("#machine", value=first)
    page.click("#reset")
    page.wait_for_timeout(200)
    note = page.locator("#plot-note").inner_text()
    published = page.locator("#y").input_value() == "top1_published"
    yield "published is said of its axis", not published or "y axis: published" in note, note


def _downloads(page: Any) -> Iterator[Check]:
    with page.expect_download() as caught:
        page.click("#csv")
    lines = Path(caught.value.path()).read_text(encoding="utf-8").strip().split("\n")
    yield "the CSV has the rows shown", len(lines) == 1 + len(_rows(page)), lines[:2]
    with page.expect_download() as caught:
        page.click("#svg")
    text = Path(caught.value.path()).read_text(encoding="utf-8")
    names = names_in_plot(page)[0]
    yield "the SVG has the names shown", "<svg" in text and all(one in text for one in names), names


def _rest(page: Any, stem: Path) -> Iterator[Check]:
    folded = page.locator("details", has=page.locator(".verdicts"))
    if folded.count():
        yield "verdicts not measured are folded", folded.first.get_attribute("open") is None, ""
    page.locator("#table-title").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('table-title').scrollIntoView()")
    page.screenshot(path=f"{stem}_table.png")
    page.locator("#rows tbody tr[data-id]").first.click(position={"x": 10, "y": 5})
    found = grave(page)
    yield "axe finds nothing serious", found == [], found
    page.click("#close")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.screenshot(path=f"{stem}_end.png")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
