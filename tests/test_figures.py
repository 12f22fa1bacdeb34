"""In every figure, from records that fill it, nothing overlaps, is clipped or is empty."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import matplotlib.figure
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from bench.analysis.machines import machine_folders, read
from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.plugins import figures
from bench.record.arms import ProbeArm
from bench.record.schema import Sample
from bench.record.store import Record, load
from bench.report import palette
from bench.report.figures import REPORTED, drawings, save_figure
from plots import _labels, _style

from . import synthetic
from .conftest import CONTESTANTS, MACHINE, accuracy_record, count_record

POLICIES = ("fp32", "channels_last", "compile", "channels_last+compile")
BATCHES = (2, 4, 8, 32)


def probe() -> Record:
    """What this machine does at best."""
    samples = [
        Sample(metric="matmul_ceiling", unit="MAC/s", better="higher", values=[120e9]),
        Sample(metric="copy_ceiling", unit="B/s", better="higher", values=[20e9]),
    ]
    return synthetic._record(ProbeArm(precision="fp32", device="cpu"), [samples] * 8, "probe", {})


def layered(model: str, family: str) -> Record:
    """Layer times of an invented network of ten blocks."""
    kinds = (
        "depthwise convolution",
        "activation",
        "normalisation",
        "pointwise convolution",
        "rest",
    )
    layers = [
        [f"block.{block}.{place}", kind, 0.001 * (place + 1), 1e7 * (4 - place)]
        for block in range(10)
        for place, kind in enumerate(kinds)
    ]
    record = synthetic.speed(model, [0.1] * 6, metric="latency", family=family)
    for line in record.rounds:
        line.samples.append(
            Sample(
                metric="layer_time",
                unit="s",
                better="none",
                values=[0.15],
                detail={"layers": layers, "plain_s": 0.14},
            )
        )
    return record


@pytest.fixture(scope="module")
def full() -> Summary:
    """Seven models under four policies, four batch sizes, with layers and ceilings."""
    draw = random.Random(3)
    records: list[Record] = [probe()]
    for model, family, params, macs, speed, _ in CONTESTANTS:
        records.append(synthetic.count(model, params, macs))
        records[-1].rounds[0].samples.append(
            Sample(
                metric="activations", unit="element", better="lower", values=[float(macs // 400)]
            )
        )
        records.append(layered(model, family))
        for number, policy in enumerate(POLICIES):
            values = synthetic.noisy(draw, speed * (1 + 0.3 * number * draw.random()), 0.02, 8)
            for batch in BATCHES if policy == "fp32" else (2,):
                factor = 1 - 0.5 / batch
                record = synthetic.speed(
                    model, [value * factor for value in values], family=family, policy=policy
                )
                import msgspec

                arm = msgspec.structs.replace(record.arm, batch_size=batch)  # type: ignore[type-var]
                record.head = msgspec.structs.replace(record.head, arm=arm)
                record.path = Path(f"{model}{policy}{batch}")
                records.append(record)
    return summarise(records)


def of(summary: Summary, name: str) -> dict[str, matplotlib.figure.Figure]:
    return drawings(figures.get(name), summary)


@pytest.mark.parametrize(
    ("name", "stems"),
    [
        ("policies", {"policies_224"}),
        ("scaling", {"scaling_batch_224", "scaling_size_224"}),
        ("roofline", {f"roofline_224_{policy.replace('+', '_')}" for policy in POLICIES}),
        ("layers", {"layers_224_fp32"}),
    ],
)
def test_what_was_measured_is_drawn_whole(full: Summary, name: str, stems: set[str]) -> None:
    drawn = of(full, name)
    assert set(drawn) == stems
    for figure in drawn.values():
        check(figure)


@pytest.mark.parametrize(
    "name", ["policies", "scaling", "roofline", "layers", "pareto_energy", "resolution"]
)
def test_what_was_not_measured_is_not_drawn(shared_results: Path, name: str) -> None:
    drawn = of(read(machine_folders(shared_results)[0]).summary, name)
    assert set(drawn) <= {"scaling_size_224"}


@pytest.mark.parametrize(
    "entry", [entry.name for entry in figures.entries() if entry.name.startswith("pareto")]
)
def test_pareto_figures(shared_results: Path, entry: str) -> None:
    for stem, figure in of(read(machine_folders(shared_results)[0]).summary, entry).items():
        check(figure)
        labels = [
            text.get_text()
            for text in figure.axes[0].texts
            if isinstance(text, Annotation) and text.get_text()
        ]
        assert all(label.endswith(" %") for label in labels) is not stem.endswith("published")


def check(figure: matplotlib.figure.Figure) -> None:
    """Text inside the figure, annotations clear of each other, something drawn in every panel."""
    figure.draw_without_rendering()
    box = figure.bbox.padded(1)
    for text in texts(figure):
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1, text.get_text()
        assert box.y0 <= extent.y0 and extent.y1 <= box.y1, text.get_text()
    for axes in figure.axes:
        assert axes.lines or axes.patches or axes.collections or axes.images
        labels = [text for text in axes.texts if isinstance(text, Annotation) and text.get_text()]
        boxes = [(label.get_text(), label.get_window_extent()) for label in labels]
        for place, (name, one) in enumerate(boxes):
            assert not [other for other, there in boxes[:place] if one.overlaps(there)], name
        written = set(map(id, texts(figure)))
        ticks = [
            label.get_window_extent() for label in axes.get_xticklabels() if id(label) in written
        ]
        assert not any(left.overlaps(right) for left, right in pairwise(ticks))
        lines = list(_labels._drawn(axes))
        for name, there in boxes:
            assert not any(there.overlaps(Bbox.from_extents(*line)) for line in lines), name
    for text in texts(figure):
        assert legible(text), text.get_text()


def legible(text: Text) -> bool:
    """True if the contrast of a text with what is behind it is at least 4.5."""
    box = text.get_bbox_patch()
    paper = to_hex(box.get_facecolor()) if box else "#ffffff"
    return palette.contrast(to_hex(text.get_color()), paper) >= 4.5


def test_colours_of_text_are_legible_and_those_that_were_stay() -> None:
    for _, colour, _ in (*palette.FAMILIES.values(), palette.OTHER):
        shade = palette.readable(colour)
        assert palette.contrast(shade, "#ffffff") >= 4.5
        assert (shade == colour) is (palette.contrast(colour, "#ffffff") >= 4.5)
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    for colour in palette.OUTCOMES.values():
        assert palette.contrast(palette.ink_on(colour), colour) >= 4.5


def test_a_name_is_never_under_a_line() -> None:
    """A line across the nearest free place moves the name; without the line it stays there."""
    found = []
    for crossed in (False, True):
        figure, axes = _style.new_figure("title", "subtitle")
        axes.plot([0.0, 1.0], [0.0, 1.0], "o")
        if crossed:
            axes.plot([0.0, 1.0], [0.05, 0.06])
        _labels.place(figure, axes, [(0.0, 0.0, "the_name_of_a_model", "#CC79A7")])
        [name] = [text for text in axes.texts if text.get_text() == "the_name_of_a_model"]
        box = name.get_window_extent()
        lines = list(_labels._drawn(axes))
        assert not any(box.overlaps(Bbox.from_extents(*line)) for line in lines)
        assert legible(name)
        found.append(name.get_position())
    assert found[0] != found[1]


def test_a_figure_that_is_arranged_does_not_move(full: Summary) -> None:
    for figure in of(full, "roofline").values():
        before = figure.axes[0].get_position().bounds
        assert figure.get_layout_engine() is None
        figure.draw_without_rendering()
        assert figure.axes[0].get_position().bounds == before


def test_sizes_of_different_patches_are_not_joined(full: Summary) -> None:
    """The two ConvMixers with patches of 7 are joined; that with patches of 14 stands alone."""
    lines = of(full, "scaling")["scaling_size_224"].axes[0].lines
    colour = palette.family("convmixer")[1]
    mine = sorted(len(line.get_xdata()) for line in lines if line.get_color() == colour)
    assert mine == [1, 2]


def test_models_of_equal_parameters_have_no_front_over_them(tmp_path: Path) -> None:
    folder = tmp_path / MACHINE.name / "records"
    for number, model in enumerate(("convmixer_a", "vit_b", "mixer_c")):
        family = model.partition("_")[0]
        count_record(folder, model, 100_000 + 1000 * number, 10**7 * 3**number, family=family)
        accuracy_record(folder, model, 300 + 20 * number, family=family)
    summary = read(machine_folders(tmp_path)[0]).summary
    [equal] = of(summary, "pareto_params").values()
    [apart] = of(summary, "pareto_macs").values()
    said = [" ".join(text.get_text().split()) for text in texts(equal)]
    assert any("no front: models of equal parameters" in text for text in said)
    assert "front" not in [line.get_label() for line in equal.axes[0].lines]
    assert "front" in [line.get_label() for line in apart.axes[0].lines]
    assert any("1 seed per model" in text for text in said)


def test_ranges_say_how_their_weights_were_trained(shared_results: Path) -> None:
    summary = read(machine_folders(shared_results)[0]).summary
    figure = of(summary, "pareto_throughput")["pareto_throughput_imagenet_published"]
    names = [text.get_text() for text in figure.axes[0].texts]
    assert "convmixer_1536_20, 150 epochs" in names
    assert "vit_s16, ? epochs" in names


def test_a_figure_is_the_same_bytes_twice_in_every_format(full: Summary, tmp_path: Path) -> None:
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        [figure] = of(full, "layers").values()
        paths = save_figure(figure, folder, "layers", REPORTED)
        assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
        found.append([path.read_bytes() for path in paths])
    assert found[0] == found[1]
    assert found[0][2].startswith(b"%PDF") and b"/FontType 3" not in found[0][2]


def texts(figure: matplotlib.figure.Figure) -> Iterator[Text]:
    """Everything written in a figure that is seen; ticks outside the limits are not drawn."""
    found: list[Text | None] = [*figure.texts, figure._suptitle, figure._supxlabel]  # type: ignore[attr-defined]
    for legend in figure.legends:
        found += legend.get_texts()
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]  # type: ignore[attr-defined]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for label in axis.get_ticklabels():
                if min(limits) <= label.get_position()[axis is axes.yaxis] <= max(limits):
                    found.append(label)
    yield from (
        text
        for text in found
        if text is not None and text.get_visible() and text.get_text().strip()
    )


def test_machine_is_named_in_every_speed_figure(full: Summary) -> None:
    for name in ("policies", "scaling", "roofline", "layers"):
        for figure in of(full, name).values():
            assert any(MACHINE.cpu in text.get_text() for text in texts(figure)), name


def test_synthetic_records_are_records(shared_results: Path) -> None:
    """The stand-ins above have the shape of files that were really written."""
    path = next((shared_results / MACHINE.name / "records").glob("vit_s16.speed.*"))
    assert type(load(path).rounds[0].samples[0]) is Sample
