"""Reports in a notebook: the objects, and the three notebooks in `examples/`."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.errors import UsageError
from bench.record.schema import NameLine
from bench.record.store import append

from . import synthetic
from .conftest import speed_record
from .program import ROOT, inside

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does, and return the value of the expression that it ends in."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "cell", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def shown(value: Any) -> str:
    """Return what a notebook displays of a value."""
    if hasattr(value, "_repr_png_"):
        png: bytes = value._repr_png_()
        assert png.startswith(b"\x89PNG") and len(png) > 10_000
        return "a picture"
    text: str = value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)
    return text


def test_there_are_three_and_none_has_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["author", "chooser", "doubter"]
    for path in NOTEBOOKS:
        content = json.loads(path.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None
        assert path.stat().st_size < 10_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_on_the_committed_records(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cell by cell in one namespace; nothing is written below results/."""
    before = {file: file.stat().st_mtime_ns for file in (ROOT / "results").rglob("*")}
    names: dict[str, Any] = {}
    outputs = []
    with inside(EXAMPLES):
        for source in cells(path, "code"):
            value = run_cell(source, names)
            outputs.append("" if value is None else shown(value))
    printed = capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in (ROOT / "results").rglob("*")} == before
    if path.stem == "doubter":
        assert "Patches Are All You Need?" in outputs[0] and "KNOWN" in outputs[0]
        assert outputs[1] == "a picture"
        assert "convmixer_96_6_k5_p4" in outputs[2]
        assert "amd-epyc-2t-e074" in outputs[3]
    elif path.stem == "chooser":
        assert outputs[0].index("good: ") < outputs[0].index("<table>")
        assert "resnet50" in outputs[0] and "convmixer_1536_20" not in outputs[0]
        assert outputs[1] == "a picture"
        assert "latency_ms_b1_low" in outputs[2]
    else:
        assert "<b>" in outputs[0] and r"\toprule" in printed
        assert not re.search(r"(?<![-\w])--[a-z]", printed) and "python" not in printed
        assert outputs[2] == "a picture"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    records = tmp_path / "results" / "test-cpu" / "records"
    for model, speeds in {"vit_s16": [1.0, 1.1], "./net.py:build": [2.0, 2.1]}.items():
        path = speed_record(records, model, speeds)
    append(path, NameLine(name="Ours <b>", given="2026-11-01T12:00:00+00:00"))
    return tmp_path / "results"


def test_a_report_shows_the_grade_first_and_no_strangers_markup(results: Path) -> None:
    report = bench.report(results)
    text = report._repr_html_()
    assert text.index("<strong>") < text.index("<table>")
    assert "Ours &lt;b&gt;" in text and "Ours <b>" not in text
    assert report.machines == ["test-cpu"] and repr(report).startswith("report on test-cpu: ")
    frame = report.table("efficiency").frame
    assert list(frame.model) == ["Ours <b>", "vit_s16"]
    assert "Ours" in report.table("Efficiency").latex
    assert (results / "test-cpu" / "report.md").exists() is False


def test_a_report_chooses_as_the_command_does(results: Path) -> None:
    assert "vit_s16" not in bench.report(results, where="model!=vit_s16")._repr_html_()
    with pytest.raises(UsageError, match="--where: nothing called 'colour'"):
        bench.report(results, where="colour=red")
    with pytest.raises(UsageError, match="no table begins with 'Roof'; there are: Efficiency"):
        bench.report(results).table("Roof")
    with pytest.raises(KeyError, match="no machine 'x'; there are test-cpu"):
        bench.report(results)["x"]
    one_machine = bench.report(results / "test-cpu")
    assert one_machine.machines == ["test-cpu"]


def test_loaded_records_have_the_given_name_and_the_real_one(results: Path) -> None:
    frame = bench.load(results)
    names = frame.drop_duplicates("model").set_index("model").label.to_dict()
    assert names == {"./net.py:build": "Ours <b>", "vit_s16": "vit_s16"}


def test_the_papers_claims_are_a_text_of_the_report(tmp_path: Path) -> None:
    from .test_findings import SMALL, kernels

    synthetic.write(tmp_path / "results" / "small-cpu", kernels(SMALL, 2.3))
    text = str(bench.report(tmp_path / "results").paper)
    assert "HOLDS" in text and "Larger kernels make ConvMixer more accurate" in text
