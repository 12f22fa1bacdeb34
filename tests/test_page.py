"""The page in a real browser, opened from disk: its content, its requests, its accessibility.

Needs a Chromium on the path (`apt-get install chromium`, or any of the names below) and is skipped
without one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.report.page import in_script, render, write_page
from bench.report.page.data import page_data
from bench.report.write import Report, write_all

from .browsing import (
    BROWSER,
    grave,
    in_view,
    launched,
    names_in_plot,
    overflow,
    plotted,
    watched,
)
from .conftest import MACHINE, accuracy_record, count_record, resealed, speed_record
from .program import bench

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
    with launched() as started:
        yield started


@pytest.fixture
def opened(page_file: Path, browser: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page at 1280 pixels, what the console said and what was asked of a network."""
    found = watched(browser, page_file.as_uri(), viewport={"width": 1280, "height": 800})
    yield found
    found[0].close()  # and the context that it had for itself


def models(page: Any) -> list[str]:
    return page.locator("#rows tbody tr td:first-child").all_inner_texts()


@needs_browser
def test_it_sorts_filters_and_changes_axes(
    opened: tuple[Any, list[str], list[str]], page_file: Path
) -> None:
    page, said, asked = opened
    assert HOSTILE in models(page)
    header = page.locator("#rows thead th", has_text="parameters")
    header.click()  # less is better
    page.wait_for_selector("#rows thead th[aria-sort=ascending]")
    rising = models(page)
    assert rising[:2] == [HOSTILE, "convmixer_768_32"]
    assert rising[-1] == "mixer_b16"
    header.click()
    page.wait_for_selector("#rows thead th[aria-sort=descending]")
    assert models(page)[0] == "mixer_b16"
    page.locator("#rows thead th", has_text="latency").click()
    assert models(page)[-1] == HOSTILE  # it has no latency
    page.locator("#rows thead th", has_text="that of vit_s16").click()  # more is better
    assert models(page)[0] == "vit_s16"
    assert models(page)[-1] == "convmixer_1536_20"
    page.get_by_role("searchbox").fill("convmixer")
    page.wait_for_function("document.querySelectorAll('#rows tbody tr').length === 3")
    assert set(models(page)) == {"convmixer_1536_20", "convmixer_768_32", "convmixer_1024_20"}
    assert plotted(page) == set(models(page))
    page.get_by_role("searchbox").fill("")
    before = page.locator("#plot .xtitle").text_content()
    labels = page.locator("#x option").all_inner_texts()
    page.select_option("#x", label=next(label for label in labels if label.startswith("MACs")))
    assert page.locator("#plot .xtitle").text_content() != before
    assert "MACs" in page.locator("#plot .xtitle").text_content()
    assert said == []
    assert asked == [page_file.as_uri()]


@needs_browser
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_a_click_shows_the_record_in_view_and_beside_the_point(
    page_file: Path, browser: Any, width: int, height: int
) -> None:
    window = {"width": width, "height": height}
    page, said, _ = watched(browser, page_file.as_uri(), viewport=window)
    assert overflow(page) <= 0
    shown, outside = names_in_plot(page)
    assert shown and outside == []
    page.locator("#plot").scroll_into_view_if_needed()
    mark = page.locator("#plot .scatterlayer path.point").first.bounding_box()
    page.mouse.click(mark["x"] + 5, mark["y"] + 5)
    page.wait_for_selector("#record:not([hidden])")
    assert in_view(page, "#record")
    box = page.locator("#record").bounding_box()
    beside = mark["x"] < box["x"] or mark["x"] > box["x"] + box["width"]
    assert beside or mark["y"] < box["y"] or mark["y"] > box["y"] + box["height"]
    assert overflow(page) <= 0
    page.keyboard.press("Escape")
    assert page.locator("#record").is_hidden()
    assert said == []
    page.close()


@needs_browser
def test_a_published_range_is_a_range_on_a_linear_axis_and_is_said_of_its_axis(
    opened: tuple[Any, list[str], list[str]],
) -> None:
    page, said, _ = opened
    page.select_option("#y", value="top1_published")
    lines = page.evaluate(
        "document.getElementById('plot').data.filter((one) => one.mode === 'lines')"
    )
    ends = {
        tuple(one["y"][place : place + 2]) for one in lines for place in range(0, len(one["y"]), 3)
    }
    assert any(
        high == pytest.approx(80.8, abs=0.1) and low == pytest.approx(76.2, abs=0.1)
        for high, low in ends
    )
    marks = page.evaluate(
        "document.getElementById('plot').data.flatMap((one) => one.mode === 'markers' ? one.y : [])"
    )
    assert not any(mark == pytest.approx(78.5, abs=0.2) for mark in marks if mark)
    note = page.locator("#plot-note").inner_text()
    assert "y axis: published by others" in note
    assert "x axis: measured here" in note
    for key in ("top1_published", page.locator("#y option").nth(1).get_attribute("value")):
        page.select_option("#y", value=key)
        assert page.evaluate("document.getElementById('plot')._fullLayout.yaxis.type") == "linear"
    page.select_option("#y", value="macs")
    assert page.evaluate("document.getElementById('plot')._fullLayout.yaxis.type") == "log"
    assert said == []


def seen(page: Any) -> list[Any]:
    """Menus, limits, columns, rows, marks, search and record."""
    menus = [
        page.locator(f"#{name}").input_value() for name in ("machine", "policy", "px", "x", "y")
    ]
    limits = page.locator(".limit output").all_inner_texts()
    heads = page.locator("#rows thead th").all_inner_texts()
    record = (
        page.locator("#record-title").inner_text() if page.locator("#record").is_visible() else ""
    )
    search = page.get_by_role("searchbox").input_value()
    return [menus, limits, heads, models(page), sorted(plotted(page)), search, record]


@needs_browser
def test_a_link_restores_the_view(
    opened: tuple[Any, list[str], list[str]], browser: Any, page_file: Path
) -> None:
    page, said, _ = opened
    first = seen(page)
    page.select_option("#x", value="params")
    page.locator("#latency").focus()
    page.keyboard.press("ArrowLeft")  # at most the latency of the slowest, so unknown ones leave
    assert HOSTILE not in models(page)
    assert HOSTILE not in plotted(page)
    page.locator("#params").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # and without the largest
    assert "mixer_b16" not in {*models(page), *plotted(page)}
    page.get_by_role("searchbox").fill("vit")
    page.locator("#rows thead th", has_text="latency").click()
    page.locator("summary", has_text="Columns").click()
    page.locator("#columns input[value=macs]").uncheck()
    page.locator("#rows tbody tr").first.click()
    there = seen(page)
    assert there != first
    assert not any("MACs" in head for head in there[2])
    other, heard, _ = watched(browser, page.url)
    assert seen(other) == there
    other.close()
    page.click("#close")
    page.click("#reset")
    assert seen(page) == first
    other, heard, _ = watched(browser, f"{page_file.as_uri()}#machine=mars&x=params")
    assert "machine mars" in other.locator("#address-note").inner_text()
    assert other.locator("#machine").input_value() == MACHINE.name
    other.close()
    assert said == heard == []


@needs_browser
def test_downloads_hold_what_is_shown(opened: tuple[Any, list[str], list[str]]) -> None:
    page, said, _ = opened
    page.get_by_role("searchbox").fill("resnet")
    page.select_option("#y", value="top1_published")
    with page.expect_download() as caught:
        page.click("#csv")
    text = Path(caught.value.path()).read_text(encoding="utf-8")
    [row] = list(csv.DictReader(io.StringIO(text)))
    assert row["model"] == "resnet50"
    assert float(row["parameters in M"]) == pytest.approx(25.557032)
    published = next(name for name in row if name.endswith("as published"))
    assert row[published] == ""  # a range has no value of its own
    assert float(row[f"{published}, low"]) < float(row[f"{published}, high"])
    ratio = next(name for name in row if name.endswith("that of vit_s16"))
    assert float(row[f"{ratio}, low"]) <= float(row[ratio]) <= float(row[f"{ratio}, high"])
    with page.expect_download() as caught:
        page.click("#svg")
    drawn = Path(caught.value.path()).read_text(encoding="utf-8")
    assert "<svg" in drawn and "resnet50" in drawn and "vit_s16" not in drawn
    assert said == []


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
def test_a_run_that_was_stopped_before_its_first_round_breaks_nothing(
    tmp_path: Path, browser: Any
) -> None:
    """The machine then has nothing but published values, and one axis."""
    speed_record(tmp_path / MACHINE.name / "records", "resnet50", [], timm="resnet50")
    ended = bench("report", "--results", tmp_path, cwd=tmp_path)
    assert ended.code == 0, ended
    page, said, _ = watched(browser, (tmp_path / "report.html").as_uri())
    assert page.locator("#x option").count() == 1
    assert said == []
    page.close()


@needs_browser
def test_what_hovering_shows_is_inside_the_plot_of_a_phone(page_file: Path, browser: Any) -> None:
    size = {"width": 390, "height": 844}
    page, said, _ = watched(browser, page_file.as_uri(), viewport=size)
    page.locator("#plot").scroll_into_view_if_needed()
    seen = 0
    for mark in page.locator("#plot .scatterlayer path.point").all():
        page.mouse.move(1, 1)
        box = mark.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_selector("#plot .hoverlayer .hovertext")
        label = page.locator("#plot .hoverlayer .hovertext").first.bounding_box()
        assert label["x"] >= 0 and label["x"] + label["width"] <= size["width"], label
        seen += 1
    assert seen > 2 and said == []
    page.close()


@needs_browser
def test_a_hostile_name_is_text_and_a_missing_value_has_its_command(
    opened: tuple[Any, list[str], list[str]],
) -> None:
    page, said, _ = opened
    page.locator("#rows tbody tr", has_text=HOSTILE).click()
    assert page.locator("#record-title").inner_text().startswith(HOSTILE)
    assert "python -m bench run --models" in page.locator("#record-body code").first.inner_text()
    labels = page.locator("#y option").all_inner_texts()
    page.select_option(
        "#y", label=next(label for label in labels if label.startswith("parameters"))
    )
    assert HOSTILE in page.locator("#plot").text_content()
    assert page.locator("#plot script").count() == 0
    assert said == []


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_violation(
    opened: tuple[Any, list[str], list[str]], dark: bool
) -> None:
    page, said, _ = opened
    if dark:
        page.click("#theme")
    page.locator("#rows tbody tr").first.click()
    assert grave(page) == []
    assert said == []
