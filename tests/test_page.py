"""The page in a real browser, opened from disk: its content, its requests, its accessibility.

Needs a Chromium on the path (`apt-get install chromium`, or any of the names below) and is skipped
without one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.report.page import in_script, render, write_page
from bench.report.page.data import page_data
from bench.report.write import Report, write_all

from .conftest import MACHINE, accuracy_record, count_record, resealed, speed_record

BROWSER = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (found := shutil.which(name))
    ),
    None,
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on the path: apt-get install chromium"
)
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def reports(shared_results: Path) -> list[Report]:
    """Of seven models and one with a hostile name, which lacks a latency."""
    results = shared_results
    folder = results / MACHINE.name / "records"
    speed_record(
        folder, HOSTILE, [3.0 + 0.01 * number for number in range(8)], family="<b>mine</b>"
    )
    count_record(folder, HOSTILE, 1_000_000, 2_000_000_000, family="<b>mine</b>")
    return write_all(results)[0]


@pytest.fixture(scope="module")
def page_file(shared_results: Path, reports: list[Report]) -> Path:
    return write_page(shared_results, reports)


def test_no_name_is_markup(page_file: Path) -> None:
    text = page_file.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "<b>mine</b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL
    )
    assert found
    data = json.loads(found[1])
    assert HOSTILE in {point["model"] for point in data["points"]}


def test_two_sets_of_weights_are_two_points(tmp_path: Path) -> None:
    import msgspec

    from bench.record import store

    folder = tmp_path / MACHINE.name / "records"
    speed_record(folder, "vit_s16", [3.0 + 0.01 * number for number in range(8)])
    first = accuracy_record(folder, "vit_s16", 300, recipe=None)
    lines = first.read_text().splitlines()[1:]
    head = store.load(first).head
    first.unlink()
    for tag, correct in (("one", 300), ("other", 330)):
        arm = msgspec.structs.replace(head.arm, weights=tag)
        path = store.create(folder, arm, head.settings, head.about)
        text = (
            "\n".join(lines)
            .replace('"correct":300', f'"correct":{correct}')
            .replace(f"[{300 / 360}]", f"[{correct / 360}]")
        )
        text = path.read_text() + text + "\n"
        path.write_bytes(resealed(text.encode()))
    reports, _ = write_all(tmp_path)
    points = page_data(reports)["points"]
    assert [point["model"] for point in points] == ["vit_s16@one", "vit_s16@other"]
    values = [
        next(value["value"] for key, value in point["values"].items() if key.startswith("top1|"))
        for point in points
    ]
    assert values == pytest.approx([100 * 300 / 360, 100 * 330 / 360])
    assert all("throughput|4" in point["values"] for point in points)


def test_json_cannot_leave_its_element() -> None:
    assert "<" not in in_script({"name": "</script><img src=x onerror=alert(1)>"})
    with pytest.raises(ValueError, match="JSON"):
        in_script({"value": float("nan")})


def test_the_same_records_give_the_same_page(reports: list[Report]) -> None:
    assert render(reports) == render(reports)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(page_file: Path, browser: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page at 1280 pixels, what the console said and what was asked of a network."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    said: list[str] = []
    asked: list[str] = []
    page.on(
        "console",
        lambda message: (
            said.append(f"{message.type}: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append("a dialog opened") or dialog.dismiss())
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    yield page, said, asked
    page.close()  # and the context that it had for itself


def models(page: Any) -> list[str]:
    return page.locator("#rows tbody tr td:first-child").all_inner_texts()


@needs_browser
def test_it_sorts_filters_and_changes_axes(
    opened: tuple[Any, list[str], list[str]], page_file: Path
) -> None:
    page, said, asked = opened
    assert HOSTILE in models(page)
    header = page.locator("#rows thead th", has_text="parameters")
    header.click()
    page.wait_for_selector("#rows thead th[aria-sort=ascending]")
    rising = models(page)
    assert rising[:2] == [HOSTILE, "convmixer_768_32"]
    assert rising[-1] == "mixer_b16"
    header.click()
    page.wait_for_selector("#rows thead th[aria-sort=descending]")
    assert models(page)[0] == "mixer_b16"
    page.get_by_role("searchbox").fill("convmixer")
    page.wait_for_function("document.querySelectorAll('#rows tbody tr').length === 3")
    assert set(models(page)) == {"convmixer_1536_20", "convmixer_768_32", "convmixer_1024_20"}
    page.get_by_role("searchbox").fill("")
    before = page.locator("#plot .xtitle").text_content()
    labels = page.locator("#x-axis option").all_inner_texts()
    page.select_option("#x-axis", label=next(label for label in labels if label.startswith("MACs")))
    assert page.locator("#plot .xtitle").text_content() != before
    assert "MACs" in page.locator("#plot .xtitle").text_content()
    assert said == []
    assert asked == [page_file.as_uri()]


@needs_browser
def test_hovering_and_opening_a_point(opened: tuple[Any, list[str], list[str]]) -> None:
    page, said, _ = opened
    page.locator("#plot .scatterlayer .trace:has(path.point) path.point").first.hover(force=True)
    page.wait_for_selector("#plot .hoverlayer .hovertext")
    hovered = page.locator("#plot .hoverlayer").text_content()
    assert MACHINE.name in hovered
    assert "torch 2.6.0" in hovered
    page.locator("#rows tbody tr", has_text="vit_s16").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#record:not([hidden])")
    assert "vit_s16" in page.locator("#record-title").inner_text()
    assert "Test CPU" in page.locator("#record-body").inner_text()
    page.wait_for_selector("#histogram .bars path")
    assert page.locator("#rows tbody tr.chosen").count() == 1
    assert said == []


@needs_browser
def test_a_hostile_name_is_text_and_a_missing_value_has_its_command(
    opened: tuple[Any, list[str], list[str]],
) -> None:
    page, said, _ = opened
    page.locator("#rows tbody tr", has_text=HOSTILE).click()
    assert page.locator("#record-title").inner_text().startswith(HOSTILE)
    assert "python -m bench run --models" in page.locator("#record-body code").first.inner_text()
    labels = page.locator("#y-axis option").all_inner_texts()
    page.select_option(
        "#y-axis", label=next(label for label in labels if label.startswith("parameters"))
    )
    assert HOSTILE in page.locator("#plot").text_content()
    assert page.locator("#plot script").count() == 0
    assert said == []


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_violation(
    opened: tuple[Any, list[str], list[str]], dark: bool
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page, said, _ = opened
    if dark:
        page.click("#theme")
    page.locator("#rows tbody tr").first.click()
    found = Axe().run(page).response["violations"]
    grave = [
        (one["id"], [node["html"][:120] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert grave == []
    assert said == []
