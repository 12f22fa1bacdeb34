"""How metrics are shown: the table's rows, and what a metric without one gets."""

from __future__ import annotations

import pytest

from bench.analysis.rows import Quantity
from bench.cli.catalogue import catalogue
from bench.plugins import figures, metrics
from bench.record.metric_units import METRICS
from bench.report.columns import (
    COLUMNS,
    TOP1,
    TOP1_PUBLISHED,
    TRAINING_TIME,
    axis_of,
    column_of,
    place_of,
    text_of,
)
from bench.report.table import Column
from bench.stats.intervals import Estimate


@pytest.mark.parametrize(
    ("quantity", "column", "axis"),
    [
        (
            Quantity("params", 0, "parameter", "lower"),
            Column("params ↓", "params", "", "lower"),
            "parameters in M",
        ),
        (
            Quantity("macs", 0, "MAC", "lower"),
            Column("GMACs¹ ↓", "macs", "G", "lower"),
            "MACs in G",
        ),
        (
            Quantity("latency", 1, "s", "lower"),
            Column("latency ms b1 ↓", "latency", "ms", "lower"),
            "latency in ms, batch 1",
        ),
        (
            Quantity("throughput", 2, "image/s", "higher"),
            Column("img/s b2 ↑", "throughput", "img/s", "higher"),
            "throughput in img/s, batch 2",
        ),
        (
            Quantity("memory", 2, "B", "lower"),
            Column("peak memory GB b2 ↓", "memory", "GB", "lower"),
            "peak memory in GB, batch 2",
        ),
        (
            Quantity("energy", 2, "J", "lower"),
            Column("energy J b2 ↓", "energy", "J", "lower"),
            "energy per image in J, batch 2",
        ),
        (
            Quantity("their_own", 4, "bit", "higher"),
            Column("their own bit b4 ↑", "their_own", "bit", "higher"),
            "their own in bit, batch 4",
        ),
        (
            Quantity("{x}", 0, "{y}", "lower"),
            Column("{x} {y} ↓", "{x}", "{y}", "lower"),
            "{x} in {y}",
        ),
    ],
)
def test_headers_and_axes(quantity: Quantity, column: Column, axis: str) -> None:
    assert column_of(quantity) == column
    assert axis_of(quantity) == axis


@pytest.mark.parametrize(
    ("quantity", "value", "details", "text"),
    [
        (Quantity("params", 0, "parameter"), 21_110_248, [], "21,110,248"),
        (Quantity("macs", 0, "MAC"), 20.677e9, [], "20.68"),
        (Quantity("macs", 0, "MAC"), 3.2e6, [], "0.0032"),
        (
            Quantity("energy", 2, "J"),
            0.25,
            [{"net_j": 0.1}, {"net_j": 0.2}, {"net_j": 0.3}],
            "0.250 (net 0.200)",
        ),
        (Quantity("largest_batch", 0, "image"), 1536, [{"at_least": True}], "≥ 1,536"),
        (Quantity("largest_batch", 0, "image"), 1536, [{"at_least": False}], "1,536"),
        (Quantity("latency", 1, "s"), 0.0625, [], "62.5"),
        (Quantity("their_own", 1, "bit"), 42.0, [], "42.0"),
    ],
)
def test_texts(
    quantity: Quantity, value: float, details: list[dict[str, object]], text: str
) -> None:
    assert text_of(quantity, Estimate(value), details) == text


def test_every_row_is_of_a_metric_and_others_come_last() -> None:
    assert COLUMNS.keys() - {TOP1_PUBLISHED, TRAINING_TIME.metric} <= METRICS.keys()
    assert (
        place_of(TOP1)
        < place_of("params")
        < place_of("throughput")
        < place_of("their_own")
        == place_of("another")
    )


def test_what_has_one_batch_size_is_what_its_metric_says() -> None:
    declared = {
        one.name for one in metrics.entries() if one.batch is not None and one.mode == "inference"
    }
    assert {name for name, shown in COLUMNS.items() if shown.one_batch} == declared & COLUMNS.keys()


def test_there_is_a_pareto_figure_of_every_row_that_says_so() -> None:
    names = ["energy", "latency", "macs", "memory", "params", "throughput", "training_time"]
    assert [name for name in figures.names() if name.startswith("pareto_")] == [
        f"pareto_{name}" for name in names
    ]


def test_metrics_are_listed_in_the_order_of_tables_and_as_they_are_shown() -> None:
    found = {row["name"]: row["shown_as"] for row in catalogue("metrics")}
    assert list(found)[:3] == ["top1", "params", "macs"]
    assert (found["macs"], found["memory"], found["copy_ceiling"]) == (
        "GMACs¹",
        "peak memory GB",
        "copy ceiling GB/s",
    )
