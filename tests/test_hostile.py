"""Names, suites, records and packs from strangers give one clear line or a result within a second.

Together these are more than 20,000 cases: `pytest tests/test_hostile.py`.
"""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import string
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench.analysis.summary import summarise
from bench.cli.app import app, main
from bench.config import RunConfig, suite_fields
from bench.count import building
from bench.errors import ModelFault, UsageError, visible
from bench.exchange import pack as packing
from bench.plan.shards import part_of
from bench.plugins import Dataset, datasets, families, metrics, models, policies, studies
from bench.plugins.recipe import recipes
from bench.record import arms, store
from bench.record.arms import CountArm
from bench.record.store import DamagedRecord
from bench.report import formats
from bench.report.tables.reading_order import all_tables

from . import impossible, odd_worlds
from .conftest import accuracy_record, count_record, probe_record, resealed, speed_record
from .odd_records import lines_of
from .program import assert_one_line, bench

SECOND = 1000
"""Milliseconds that one case may take."""
HOSTILE = [
    *(
        "../../x",
        "/etc/passwd",
        "..",
        "a/../../b",
        "-rf",
        "CON",
        "x" * 5000,
        "a\nb",
        "\0",
        "@1",
        "__class__",
        "%0a",
    ),
    *(
        "<script>alert(1)</script>",
        "[bold]x[/bold]",
        "\x1b[31mred",
        "$(touch x)",
        "`id`",
        "a|b",
        "\\input{x}",
        "{{7*7}}",
        "'; DROP",
    ),
    *("名前", "\u202eabc"),
]
texts = st.one_of(
    st.text(max_size=60),
    st.text(alphabet=string.ascii_letters + string.digits + "_-+@=:/.,*{}[]()<>\\ ", max_size=60),
    st.sampled_from(HOSTILE),
    st.builds(lambda left, right: left + right, st.sampled_from(HOSTILE), st.text(max_size=20)),
)


def cases(number: int) -> Callable[[Any], Any]:
    """So many of them; each within a second."""
    return settings(
        max_examples=number,
        deadline=SECOND,
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,
        ],
    )


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Registries import their rooms with the first question; that is not what is timed here."""
    for registry in (models, families, metrics, policies, datasets, studies, recipes):
        registry.names()
    models.get("timm:resnet18")


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing may be written where the command was started."""
    place = tmp_path / "started-here"
    place.mkdir()
    monkeypatch.chdir(place)
    yield
    assert not list(place.rglob("*"))
    assert [
        path.name for path in tmp_path.iterdir() if path.name not in ("started-here", "inside")
    ] == []


# Names

near = st.sampled_from(
    [
        "convmixer_1536_20",
        "vit_s16",
        "timm:resnet18",
        "convmixer_h64_d4_k5_p2",
        "skeleton",
        "resnet50",
        "x.py:build",
    ]
)
spelled = st.one_of(
    texts,
    st.builds(lambda name, tail: name + tail, near, texts),
    st.builds(lambda tail: f"timm:{tail}", texts),
)


@cases(1500)
@given(name=spelled)
def test_names_of_models(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        models.get(name)
    except UsageError as error:
        assert str(error)
    folder = Path("/results/machine/records")
    path = store.path_of(folder, CountArm(model=name, image_size=8, num_classes=10), {})
    assert path.parent == folder and re.fullmatch(
        r"[A-Za-z0-9_-]+\.count\.[0-9a-f]{16}\.jsonl", path.name
    )


def test_models_too_large_to_build_are_refused_by_their_names() -> None:
    """None of them is built for that: the worst took half a minute, and one kept its memory."""
    for name, words in {
        "convmixer_8_20000_k3_p8": "depth must be at most 2,000, got 20,000",
        "vit_64_999999999": "depth must be at most 2,000, got 999,999,999",
        "vit_999999999_2_h1": "width must be at most 1,000,000, got 999,999,999",
        "mixer_64_2001": "depth must be at most 2,000",
        "skeleton_64_60000_attention": "depth must be at most 2,000",
        "resnet_64_3-4-60000-3": "most blocks must be at most 2,000, got 60,000",
        f"resnet_64_{'1-' * 9}1": "must have at most 4 stages, got 10",
        f"resnet_64_{'1-' * 500}1": "no model named",
        f"convmixer_1_{'1' * 4500}": "no model named",
        f"vit_{'9' * 100_000}_1": "named by at most 5,000 characters, and 'vit_9999",
        "x" * 10**6: "has 1,000,000",
    }.items():
        with pytest.raises(UsageError, match=f"^--models: .*{re.escape(words)}"):
            models.get(name)
    assert models.get("resnet_64_3-4-6-3").shape.most_blocks == 6


def test_a_run_of_a_model_too_large_is_one_line(tmp_path: Path) -> None:
    asked = ("run", "--models", "convmixer_8_20000_k3_p8", "--metrics", "params")
    ended = bench(*asked, "--results", tmp_path / "inside", cwd=tmp_path / "started-here")
    assert_one_line(ended, "--models", "depth must be at most 2,000, got 20,000")


def test_no_code_runs_but_by_the_explicit_forms(tmp_path: Path) -> None:
    """A file is executed as `file.py:build`, a package as `package.module:build`.

    No other spelling executes code, and only names that were typed do.
    """
    (tmp_path / "inside").mkdir()
    mark = tmp_path / "inside" / "executed"
    code = tmp_path / "inside" / "evil.py"
    code.write_text(f"open({str(mark)!r}, 'w').close()\n")
    for name in (
        str(code),
        f"{code}:",
        f"timm:{code}",
        f"{code}@build",
        f"hf:{code}",
        f"{code} :build",
        "evil",
        f"file://{code}",
    ):
        models.typed.add(name)
        with pytest.raises(UsageError):
            models.get(name)
        assert not mark.exists(), name
    with pytest.raises(UsageError, match="type the name on the command line to run it"):
        models.get(f"{code}:build")
    assert not mark.exists()
    models.typed.add(f"{code}:build")
    entry = models.get(f"{code}:build")
    assert not mark.exists()  # looking a name up runs nothing; building does
    with pytest.raises((UsageError, ModelFault)):
        building.build(entry, image_size=32, num_classes=10)
    assert mark.exists()


@cases(1000)
@given(name=texts, data=texts)
def test_names_of_everything_else(name: str, data: str) -> None:
    for registry in (families, metrics, policies, studies, recipes):
        try:
            registry.get(name)
        except UsageError as error:
            assert str(error)
    try:
        recipes.get(f"digits:{name}")
    except UsageError as error:
        assert str(error)
    kind = data.partition(":")[0]
    if kind not in datasets.names():
        try:
            assert isinstance(datasets.get(kind), Dataset)
        except UsageError as error:
            assert str(error)


# Suite files

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
plain = st.one_of(
    scalars, st.lists(scalars, max_size=4), st.dictionaries(texts, scalars, max_size=3)
)
keys = st.one_of(st.sampled_from([one.name for one in fields(RunConfig)]), texts)


def toml(value: Any) -> str:
    """A value as TOML would have it, as far as it goes."""
    if isinstance(value, bool) or value is None:
        return str(bool(value)).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items())
            + "}"
        )
    return json.dumps(value) if isinstance(value, str) else str(value)


@cases(1500)
@given(content=st.one_of(st.binary(max_size=200), st.dictionaries(keys, plain, max_size=4)))
def test_suite_files(content: bytes | dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir(exist_ok=True)
    path = tmp_path / "inside" / "suite.toml"
    text = (
        content
        if isinstance(content, bytes)
        else "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in content.items())
    )
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        assert isinstance(suite_fields(str(path)), dict)
    except UsageError as error:
        assert "suite.toml" in str(error)


@cases(300)
@given(
    content=st.dictionaries(
        st.sampled_from([one.name for one in fields(RunConfig)]), plain, min_size=1, max_size=4
    )
)
def test_suites_as_a_command_takes_them(content: dict[str, Any], tmp_path: Path) -> None:
    """Through the command line's own reading and checking, up to where a run would begin."""
    from cyclopts import CycloptsError

    (tmp_path / "inside").mkdir(exist_ok=True)
    path = tmp_path / "inside" / "suite.toml"
    path.write_text(
        "".join(f"{key} = {toml(value)}\n" for key, value in content.items()),
        encoding="utf-8",
        errors="surrogatepass",
    )
    try:
        _, bound, _ = app.parse_args(
            ["run", "--suite", str(path)], exit_on_error=False, print_error=False
        )
        config = bound.arguments.get("config", RunConfig())
        assert part_of(config.shard)([]) == []
    except (UsageError, CycloptsError) as error:
        assert str(error)


# Records


def changed(value: Any, draw: random.Random, with_: Any) -> Any:
    """A JSON value with one place in it changed."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(sorted(value))
        if draw.random() < 0.1:
            return {other: inner for other, inner in value.items() if other != key}
        return {**value, key: changed(value[key], draw, with_)}
    if isinstance(value, list) and value and draw.random() < 0.7:
        at = draw.randrange(len(value))
        return [*value[:at], changed(value[at], draw, with_), *value[at + 1 :]]
    return with_


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speed_record(
        tmp_path_factory.mktemp("honest"), "vit_s16", [10.0, 11.0, 12.0, 11.0, 10.0, 11.0, 12.0]
    )


@cases(1000)
@given(seed=st.integers(0, 2**32), damage=st.binary(min_size=1, max_size=8))
def test_records_with_other_bytes_in_them(
    seed: int, damage: bytes, honest: Path, tmp_path: Path
) -> None:
    (tmp_path / "inside").mkdir(exist_ok=True)
    path, whole, draw = tmp_path / "inside" / honest.name, honest.read_bytes(), random.Random(seed)
    at, until = sorted((draw.randrange(len(whole)), draw.randrange(len(whole) + 1)))
    until = draw.choice((at, at + len(damage), until))
    path.write_bytes(whole[:at] + damage + whole[until:])
    try:
        assert store.load(path).head
    except DamagedRecord as error:
        assert str(path) in str(error)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A sound record of every kind of arm."""
    folder = tmp_path_factory.mktemp("kinds")
    return [
        speed_record(folder, "vit_s16", [10.0, 11.0, 12.0, 11.0, 10.0, 11.0, 12.0]),
        count_record(folder, "vit_s16", 1000, 2000),
        accuracy_record(folder, "vit_s16", 300),
        probe_record(folder, [0.1] * 7),
    ]


def retold(path: Path, draw: random.Random, value: Any) -> bytes | None:
    """Return a record with another value at one place, its key and checksums made to fit.

    None if JSON cannot represent the value.
    """
    lines = lines_of(path)
    at = draw.randrange(len(lines))
    lines[at] = changed(lines[at], draw, value)
    try:
        if isinstance(lines[0], dict):
            lines[0]["key"] = arms.key_of(
                msgspec.convert(lines[0]["arm"], arms.Arm), lines[0]["settings"]
            )
    except (msgspec.ValidationError, KeyError, TypeError):
        pass  # what is no arm has no key
    try:
        return resealed(b"\n".join(map(msgspec.json.encode, lines)))
    except (UnicodeEncodeError, ValueError, TypeError):
        return None


@cases(1000)
@given(seed=st.integers(0, 2**32), value=plain)
def test_records_that_say_something_else(
    seed: int, value: Any, kinds: list[Path], tmp_path: Path
) -> None:
    """Well-formed records of every kind, with fitting keys and checksums, and one changed value.

    Each is refused by name, or read and shown like any other.
    """
    draw = random.Random(seed)
    one = draw.choice(kinds)
    path = tmp_path / "inside" / "machine" / "records" / one.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if (content := retold(one, draw, value)) is None:
        return
    path.write_bytes(content)
    try:
        found = store.load(path)
    except DamagedRecord as error:
        assert str(path) in str(error)
        return
    finally:
        path.unlink()
    if found.runs:
        for table in all_tables(summarise([found])):
            formats.markdown(table)
            formats.latex(table)


@pytest.mark.parametrize(
    ("worlds", "stages"),
    [(4, [name for name in odd_worlds.STAGES if name != "figures"]), (1, ["figures"])],
)
def test_odd_records_of_every_kind_go_through_everything(
    worlds: int, stages: list[str], tmp_path: Path
) -> None:
    """Some hundred records per world have values at the ends of every range.

    `python -m tests.by_hand.odd` takes thousands of records through all stages.
    """
    counts: Counter[str] = Counter()

    @settings(
        max_examples=worlds,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**32))
    def go(seed: int) -> None:
        odd_worlds.reach(tmp_path / "inside", seed, stages, counts)

    go()
    assert (
        min(counts[f"{kind} records"] for kind in ("count", "speed", "accuracy", "probe"))
        >= 3 * worlds
    )
    assert min(counts[f"reached {name}"] for name in stages) >= 20 * worlds


@pytest.mark.parametrize("make", [odd_worlds.make, impossible.copy_of_results])
def test_impossible_values_are_refused_or_shown(
    make: Callable[[Path, int], None], tmp_path: Path
) -> None:
    """Some thousand of them; `python -m tests.by_hand.impossible` gives every field every value."""
    counts: Counter[str] = Counter()
    results = tmp_path / "inside" / "results"
    make(results, 1)
    found = impossible.change(results, set(), random.Random(1), counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("tables", "page", "verdicts", "claim", "verify", "frame", "forecast"):
            try:
                odd_worlds.STAGES[name](results)
            except Exception as error:
                every = ", ".join(map(str, found.cells.values()))
                raise AssertionError(f"{name} shows one of {every}") from error
    assert counts["shown"] >= 20 and counts["refused"] >= 100


def test_hostile_names_in_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Models of records have such names.

    Every file of the report lies in its folder, and no text in any of them acts as a command.
    """
    machine = tmp_path / "inside" / "machine"
    for name in HOSTILE:
        speed_record(machine / "records", name, [10.0, 11.0, 12.0, 11.0, 10.0, 11.0, 12.0])
    assert main(["report", "--results", str(tmp_path / "inside")]) == 0
    shown = capsys.readouterr()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown.out + shown.err)
    page = (tmp_path / "inside" / "report.html").read_text(encoding="utf-8")
    assert re.search("<td[^>]*>名前</td>", page)
    assert json.dumps("名前") in page  # among the data of the plot
    assert "<script>alert(1)" not in page
    markdown = (machine / "report.md").read_text(encoding="utf-8")
    assert "| 名前" in markdown
    assert "<script>alert(1)" not in markdown
    sources = [path.read_text(encoding="utf-8") for path in machine.rglob("*.tex")]
    assert any("名前" in text for text in sources)
    assert not any("\\input{x}" in text for text in sources)
    shutil.rmtree(tmp_path / "inside")


@cases(1500)
@given(text=texts)
def test_no_text_is_obeyed_by_a_terminal(text: str) -> None:
    shown = visible(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode()


# Packs


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("packed")
    speed_record(folder / "results" / "machine" / "records", "vit_s16", [10.0, 11.0, 12.0])
    packing.pack(folder / "results", folder / "pack.zip")
    return (folder / "pack.zip").read_bytes()


@cases(1000)
@given(seed=st.integers(0, 2**32), damage=st.binary(min_size=1, max_size=8), name=texts)
def test_packs(seed: int, damage: bytes, name: str, pack: bytes, tmp_path: Path) -> None:
    """With other bytes in them, or with a file more of any name: refused, in words."""
    (tmp_path / "inside").mkdir(exist_ok=True)
    path, draw = tmp_path / "inside" / "pack.zip", random.Random(seed)
    if draw.random() < 0.5:
        at = draw.randrange(len(pack))
        path.write_bytes(pack[:at] + damage + pack[at + draw.choice((0, len(damage))) :])
    else:
        buffer = io.BytesIO(pack)
        with zipfile.ZipFile(buffer, "a") as archive:
            try:
                archive.writestr(
                    draw.choice((name, f"machine/records/{name}.jsonl", f"../{name}.jsonl")), damage
                )
            except (UnicodeEncodeError, ValueError, IndexError):
                return  # zip files know no such name
        path.write_bytes(buffer.getvalue())
    try:
        packing.verify(path)
    except UsageError as error:
        assert f"{path} " in str(error)
