"""Plan, order, resume, budget and failures, with workers that answer at once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.config import RunConfig
from bench.errors import UsageError
from bench.measure.messages import Failure, Job, Window
from bench.plugins import policies
from bench.record import arms as record_arms
from bench.record import store
from bench.run.observer import Interrupted, Outcome
from bench.run.runner import Runner
from bench.run.session import Session

from .conftest import FakeWorkers, Silent

THREE = ("convmixer_digits", "vit_digits", "mixer_digits")


def steady(job: Job, window: Window) -> list[float]:
    return [1.0, 2.0, 3.0]


def start(tmp_path: Path, workers: FakeWorkers, **changes: Any) -> tuple[Outcome, Silent]:
    config = RunConfig(
        **{"models": THREE, "device": "cpu", "rounds": 4, "results": tmp_path, **changes}
    )
    watch = Silent()
    return Runner(config, session(tmp_path, workers, watch)).run(), watch


def session(
    results: Path, workers: FakeWorkers, watch: Silent | None = None, **changes: Any
) -> Session:
    return Session.start(
        results, "cpu", watch or Silent(), workers.open, now=workers.clock.now, **changes
    )


def rounds_of(outcome: Outcome, kind: str = "speed") -> dict[str, int]:
    """Rounds by record, of what was asked for."""
    found = {path.name: store.load(path) for path in outcome.records if f".{kind}." in path.name}
    return {name: len(one.rounds) for name, one in found.items() if one.runs[0].role == "asked"}


def test_every_round_visits_every_window_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    workers = FakeWorkers(steady)
    start(tmp_path, workers, metrics=("latency", "throughput"))
    rounds = [tuple(workers.asked()[n : n + 6]) for n in range(0, 24, 6)]
    assert len(workers.asked()) == 24
    assert len({frozenset(one) for one in rounds}) == 1
    assert len(set(rounds)) > 1
    assert Counter(
        job.arm.model for job in workers.opened if job.arm.model in THREE
    ) == dict.fromkeys(THREE, 2)
    assert workers.alive == 0


def test_memory_takes_part_in_one_round_only(tmp_path: Path) -> None:
    workers = FakeWorkers(steady)
    start(tmp_path, workers)
    counted = Counter(metric for _, _, metric in workers.asked())
    assert (counted["params"], counted["latency"], counted["throughput"], counted["memory"]) == (
        3,
        12,
        12,
        3,
    )


def test_several_image_sizes_are_arms_of_one_run(tmp_path: Path) -> None:
    workers = FakeWorkers(steady)
    start(
        tmp_path,
        workers,
        models=("vit_digits", "resnet_digits"),
        image_size=(32, 64),
        metrics=("latency",),
    )
    sizes = Counter(
        (job.arm.model, job.arm.image_size)
        for job in workers.opened
        if job.arm.model not in ("vit_s16", "deit_s16", "machine")
    )
    assert set(sizes) == {
        (model, size) for model in ("vit_digits", "resnet_digits") for size in (32, 64)
    }
    with pytest.raises(UsageError, match="images of --data have one size, got 32,64"):
        RunConfig(models=("vit_digits",), image_size=(32, 64), data="digits")


def test_a_study_has_its_arms_in_one_run(tmp_path: Path) -> None:
    """A finished arm has no rounds in common with new arms, and is measured again next to them."""
    start(tmp_path, FakeWorkers(steady), models=THREE[:2], metrics=("throughput",), rounds=6)
    config = RunConfig(
        models=THREE, metrics=("throughput",), device="cpu", rounds=6, results=tmp_path
    )

    def study(workers: FakeWorkers) -> Runner:
        return Runner(config, session(tmp_path, workers), studies={"one": "0" * 12})

    workers = FakeWorkers(steady)
    assert len(study(workers).outstanding()) == 3
    study(workers).run()
    assert workers.models() == set(THREE)
    assert study(FakeWorkers(steady)).outstanding() == []


def test_a_second_run_measures_nothing(tmp_path: Path) -> None:
    first, _ = start(tmp_path, FakeWorkers(steady))
    before = {path: path.read_bytes() for path in first.records}
    workers = FakeWorkers(steady)
    second, watch = start(tmp_path, workers)
    assert workers.opened == []
    assert watch.open_tasks == []
    assert second.measured == 0
    assert {path: path.read_bytes() for path in second.records} == before


def test_one_more_model_brings_its_reference_along(tmp_path: Path) -> None:
    start(tmp_path, FakeWorkers(steady), models=THREE[:2], metrics=("throughput",))
    workers = FakeWorkers(steady)
    outcome, _ = start(tmp_path, workers, metrics=("throughput",))
    assert workers.models() == {"mixer_digits", "vit_digits"}
    reference, added = (
        store.load(next(p for p in outcome.records if p.name.startswith(f"{name}.speed")))
        for name in ("vit_digits", "mixer_digits")
    )
    last = added.runs[-1].run
    assert (
        {line.round for line in added.rounds}
        == {line.round for line in reference.rounds if line.run == last}
        == {1, 2, 3, 4}
    )


def test_force_measures_again_and_supersedes(tmp_path: Path) -> None:
    start(tmp_path, FakeWorkers(steady), metrics=("throughput",))
    workers = FakeWorkers(lambda job, window: [9.0])
    outcome, _ = start(tmp_path, workers, metrics=("throughput",), force=True)
    loaded = store.load(
        next(path for path in outcome.records if path.name.startswith("vit_digits"))
    )
    assert len(loaded.rounds) == 8
    assert {line.samples[0].values[0] for line in loaded.latest().rounds} == {9.0}


def test_the_time_budget_ends_the_rounds_and_is_marked(tmp_path: Path) -> None:
    workers = FakeWorkers(steady, seconds_per_window=1.0)
    outcome, _ = start(tmp_path, workers, metrics=("throughput",), rounds=16, time_budget=10.0)
    # A round has three windows of 1 s; the first has six more, of the A/A pair and the probes.
    assert set(rounds_of(outcome).values()) == {1}
    end = store.load(outcome.records[0]).ends[0]
    assert (end.status, end.short, end.time_budget) == ("ok", True, 10.0)


def test_even_the_smallest_budget_gives_one_round(tmp_path: Path) -> None:
    outcome, _ = start(tmp_path, FakeWorkers(steady), metrics=("throughput",), time_budget=0.001)
    assert set(rounds_of(outcome).values()) == {1}


def test_a_larger_budget_goes_on_where_a_small_one_stopped(tmp_path: Path) -> None:
    start(tmp_path, FakeWorkers(steady), metrics=("throughput",), rounds=8, time_budget=7.0)
    workers = FakeWorkers(steady)
    start(tmp_path, workers, metrics=("throughput",), rounds=8, time_budget=7.0)
    assert workers.opened == []
    outcome, _ = start(tmp_path, workers, metrics=("throughput",), rounds=8, time_budget=700.0)
    assert set(rounds_of(outcome).values()) == {8}


class Stop(FakeWorkers):
    """Ctrl-C in the middle of the third round."""

    def open(self, job: Job) -> Any:
        worker = super().open(job)
        take = worker.take

        def interrupted(window: Window, heard: Any, glance: Any = None) -> Any:
            if len(self.asked()) == 7:
                raise KeyboardInterrupt
            return take(window, heard)

        worker.take = interrupted
        return worker


def test_ctrl_c_keeps_every_finished_round_and_the_same_command_goes_on(tmp_path: Path) -> None:
    workers = Stop(steady)
    with pytest.raises(Interrupted) as stopped:
        start(tmp_path, workers, metrics=("throughput",))
    assert stopped.value.rounds == 2
    assert workers.alive == 0
    outcome, _ = start(tmp_path, FakeWorkers(steady), metrics=("throughput",))
    assert set(rounds_of(outcome).values()) == {4}


def test_a_failed_arm_is_a_record_and_the_others_go_on(tmp_path: Path) -> None:
    broken = FakeWorkers(steady, broken={"vit_digits": Failure("oom", "out of memory")})
    outcome, watch = start(tmp_path, broken, metrics=("throughput",))
    ends = {store.load(path).arm.model: store.load(path).ends[-1] for path in outcome.records}
    assert (ends["vit_digits"].status, ends["vit_digits"].error) == ("oom", "out of memory")
    assert {ends[name].status for name in ("convmixer_digits", "mixer_digits")} == {"ok"}
    assert watch.failures == ["oom"]
    again = FakeWorkers(steady)
    start(tmp_path, again, metrics=("throughput",))
    assert again.models() == set(THREE)  # vit_digits is the reference: without the others no pair


def test_an_arm_that_fails_in_the_middle_keeps_its_rounds(tmp_path: Path) -> None:
    calls = Counter[str]()

    def script(job: Job, window: Window) -> list[float]:
        calls[job.arm.model] += 1
        if job.arm.model == "vit_digits" and calls["vit_digits"] == 3:
            raise Failure("failed", "the worker died with exit code -9")
        return [1.0]

    outcome, _ = start(tmp_path, FakeWorkers(script), metrics=("throughput",))
    counted = {name.split(".")[0]: number for name, number in rounds_of(outcome).items()}
    assert counted == {"convmixer_digits": 4, "vit_digits": 2, "mixer_digits": 4}


def test_what_the_user_can_mend_ends_the_run(tmp_path: Path) -> None:
    broken = FakeWorkers(
        steady, broken={"vit_digits": Failure("failed", "--image-size: no", usage=True)}
    )
    with pytest.raises(UsageError, match="--image-size: no"):
        start(tmp_path, broken)
    assert broken.alive == 0


def test_a_damaged_record_stops_the_run_before_it_measures(tmp_path: Path) -> None:
    outcome, _ = start(tmp_path, FakeWorkers(steady), metrics=("throughput",))
    outcome.records[0].write_bytes(
        outcome.records[0].read_bytes().replace(b'"round":1', b'"round":"x"', 1)
    )
    workers = FakeWorkers(steady)
    with pytest.raises(UsageError, match="is damaged"):
        start(tmp_path, workers, metrics=("throughput",), rounds=9)
    assert workers.opened == []


def test_accuracy_arms_are_those_that_take_the_images_and_the_baselines(tmp_path: Path) -> None:
    workers = FakeWorkers(lambda job, window: [0.9])
    # On a loaded machine the forecast exceeds the hour that takes a --yes.
    outcome, _ = start(tmp_path, workers, models=THREE, metrics=("top1",), data="digits", yes=True)
    assert {job.arm.model for job in workers.opened} == {
        *THREE,
        "1-nearest-neighbour",
        "logistic-regression",
    }
    assert rounds_of(outcome, "accuracy")
    with pytest.raises(UsageError, match=r"vit_s16 cannot be trained: .*--image-size 32"):
        start(tmp_path, workers, models=(*THREE, "vit_s16"), metrics=("top1",), data="digits")
    with pytest.raises(UsageError, match="add --data digits"):
        start(tmp_path, workers, metrics=("top1",))


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_a_results_path_that_is_no_folder(tmp_path: Path, kind: str) -> None:
    (tmp_path / "taken").write_text("mine")
    path = tmp_path / "taken" if kind == "file" else tmp_path / "taken" / "deeper"
    with pytest.raises(UsageError, match=r"--results: .* a folder is needed"):
        start(path, FakeWorkers(steady))
    assert (tmp_path / "taken").read_text() == "mine"


def by_policy(speeds: dict[str, float]) -> Any:
    """Speeds that depend on the policy alone."""
    return lambda job, window: [speeds.get(getattr(job.arm, "policy", ""), 1.0)]


def test_every_arm_compiles_into_a_folder_of_its_own_and_where_that_is_measured_every_process(
    tmp_path: Path,
) -> None:
    workers = FakeWorkers(steady)
    start(tmp_path, workers, metrics=("throughput",), policies=("fp32", "channels_last"), rounds=8)
    caches = {(job.arm, job.cache) for job in workers.opened}
    assert (
        len({arm for arm, _ in caches})
        == len(caches)
        == len({cache for _, cache in caches})
        < len(workers.opened)
    )
    workers = FakeWorkers(steady)
    start(
        tmp_path / "other",
        workers,
        metrics=("throughput", "first_call"),
        policies=("fp32", "channels_last"),
        rounds=8,
    )
    caches_of_asked = [job.cache for job in workers.opened if job.arm.model in THREE]
    assert len(caches_of_asked) > 6 and len(set(caches_of_asked)) == len(caches_of_asked)


def test_of_several_policies_the_best_is_chosen_and_measured_on_rounds_that_did_not_choose(
    tmp_path: Path,
) -> None:
    workers = FakeWorkers(by_policy({"fp32": 1.0, "channels_last": 1.5}))
    outcome, _ = start(
        tmp_path,
        workers,
        models=THREE[:2],
        metrics=("throughput",),
        policies=("fp32", "channels_last"),
    )
    phases = {}
    for path in outcome.records:
        loaded = store.load(path)
        if isinstance(loaded.arm, record_arms.SpeedArm) and loaded.arm.model in THREE:
            phases[loaded.arm.model, loaded.arm.policy] = Counter(
                line.phase for line in loaded.rounds
            )
            chosen = [line.round for line in loaded.rounds if line.phase == "choose"]
            confirmed = [line for line in loaded.rounds if line.phase == "confirm"]
            assert all(line.round > max(chosen) and line.worker > 1 for line in confirmed)
    for model in THREE[:2]:
        assert phases[model, "fp32"] == {"choose": 4}
        assert phases[model, "channels_last"] == {"choose": 4, "confirm": 4}
    before = len(workers.requests)
    start(
        tmp_path,
        workers,
        models=THREE[:2],
        metrics=("throughput",),
        policies=("fp32", "channels_last"),
    )
    assert len(workers.requests) == before


def test_a_finished_policy_takes_part_in_a_later_choice(tmp_path: Path) -> None:
    workers = FakeWorkers(by_policy({"fp32": 3.0, "channels_last": 1.0}))
    arguments: dict[str, Any] = {"models": THREE[:2], "metrics": ("throughput",)}
    start(tmp_path, workers, **arguments, policies=("fp32",))
    outcome, _ = start(tmp_path, workers, **arguments, policies=("fp32", "channels_last"))
    for path in outcome.records:
        record = store.load(path)
        if isinstance(record.arm, record_arms.SpeedArm) and record.arm.model in THREE:
            confirmed = sum(line.phase == "confirm" for line in record.rounds)
            assert confirmed == (4 if record.arm.policy == "fp32" else 0)
            assert not record.ends[-1].short


@pytest.fixture
def fused_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the handwritten policy run on the device of these tests, as it does on a GPU."""
    anywhere = dataclasses.replace(policies.get("fused"), supports=lambda device: None)
    monkeypatch.setitem(policies._entries, "fused", anywhere)


def test_handwritten_kernels_are_never_chosen_and_measured_again_beside_what_was(
    tmp_path: Path, fused_runs: None
) -> None:
    workers = FakeWorkers(by_policy({"fp32": 1.0, "channels_last": 1.5, "fused": 9.0}))
    outcome, _ = start(
        tmp_path,
        workers,
        models=THREE[:1],
        metrics=("throughput",),
        policies=("fp32", "channels_last", "fused"),
    )
    phases = {}
    for path in outcome.records:
        loaded = store.load(path)
        if isinstance(loaded.arm, record_arms.SpeedArm):
            phases[loaded.arm.model, loaded.arm.policy] = dict(
                Counter(line.phase for line in loaded.rounds)
            )
            assert not any(end.hopeless for end in loaded.ends)
    assert phases[THREE[0], "fp32"] == {"choose": 4}
    assert (
        phases[THREE[0], "channels_last"]
        == phases[THREE[0], "fused"]
        == {"choose": 4, "confirm": 4}
    )


def test_nothing_to_choose_from_is_no_failure(tmp_path: Path, fused_runs: None) -> None:
    """Handwritten kernels alone are measured in both phases; if all fail, none is confirmed."""
    what: Any = {
        "models": THREE[:1],
        "metrics": ("throughput",),
        "policies": ("fused", "bf16+fused"),
    }
    outcome, _ = start(tmp_path / "alone", FakeWorkers(steady), **what)
    arms = [store.load(path) for path in outcome.records if store.load(path).arm.model == THREE[0]]
    assert [Counter(line.phase for line in one.rounds) for one in arms] == [
        {"choose": 4, "confirm": 4}
    ] * 2

    def refuses(job: Job, window: Window) -> list[float]:
        if job.arm.model == THREE[0]:
            raise Failure("unsupported", "no kernel")
        return [1.0]

    outcome, _ = start(tmp_path / "none", FakeWorkers(refuses), **what)
    assert len(outcome.failures) == 2


def test_the_sentinels_run_without_handwritten_kernels(tmp_path: Path, fused_runs: None) -> None:
    outcome, _ = start(
        tmp_path,
        FakeWorkers(steady),
        models=THREE[:1],
        metrics=("throughput",),
        policies=("bf16+fused",),
    )
    arms = [store.load(path).arm for path in outcome.records]
    assert {(arm.model, arm.policy) for arm in arms if isinstance(arm, record_arms.SpeedArm)} == {
        (THREE[0], "bf16+fused"),
        ("vit_s16", "bf16"),
        ("deit_s16", "bf16"),
    }


def test_every_run_has_a_sentinel_pair_and_a_probe(tmp_path: Path) -> None:
    workers = FakeWorkers(steady)
    outcome, _ = start(tmp_path, workers, models=THREE[:1], metrics=("throughput",))
    roles = {store.load(path).arm.model: store.load(path).runs[0].role for path in outcome.records}
    assert roles == {
        THREE[0]: "asked",
        "vit_s16": "sentinel",
        "deit_s16": "sentinel",
        "machine": "probe",
    }


def test_arms_that_do_not_fit_together_are_measured_in_groups_that_share_the_reference(
    tmp_path: Path,
) -> None:
    """Memory suffices for the companions, the reference and one more arm."""
    workers = FakeWorkers(steady)
    config = RunConfig(
        models=THREE, device="cpu", rounds=4, results=tmp_path, metrics=("throughput",)
    )
    room = 5 << 30
    free = lambda device, gpu: room - workers.alive * (1 << 30)  # noqa: E731
    outcome = Runner(config, session(tmp_path, workers, free=free)).run()
    loaded = {store.load(path).arm.model: store.load(path) for path in outcome.records}
    at = {model: {line.round for line in loaded[model].rounds} for model in THREE}
    assert {len(at[model]) for model in ("convmixer_digits", "mixer_digits")} == {4}
    assert not at["convmixer_digits"] & at["mixer_digits"]
    assert at["vit_digits"] == at["convmixer_digits"] | at["mixer_digits"]


def test_out_of_memory_beside_others_is_tried_again_with_fewer(tmp_path: Path) -> None:
    class Tight(FakeWorkers):
        def open(self, job: Job) -> Any:
            worker = super().open(job)
            ready = worker.ready

            def tight() -> Any:
                # mixer_digits fits only where convmixer_digits is not.
                if job.arm.model == "mixer_digits" and self.alive > 5:
                    raise Failure("oom", "out of memory")
                return ready()

            worker.ready = tight  # type: ignore[method-assign]
            return worker

    outcome, watch = start(tmp_path, Tight(steady), metrics=("throughput",))
    assert watch.failures == []
    assert set(rounds_of(outcome).values()) >= {4}
    ends = {
        store.load(path).arm.model: store.load(path).ends[-1].status for path in outcome.records
    }
    assert ends["mixer_digits"] == "ok"


def test_slices_measure_so_many_arms_and_the_same_command_goes_on(tmp_path: Path) -> None:
    workers = FakeWorkers(steady)
    outcome, _ = start(tmp_path, workers, metrics=("throughput",), slice=2)
    assert (outcome.measured, outcome.left) == (2, 1)
    outcome, _ = start(tmp_path, workers, metrics=("throughput",), slice=2)
    assert (outcome.measured, outcome.left) == (1, 0)


def test_a_narrower_target_goes_on_where_a_wider_one_was_reached(tmp_path: Path) -> None:
    start(tmp_path, FakeWorkers(steady), metrics=("throughput",), rounds=None, target_ci=0.5)
    workers = FakeWorkers(steady)
    start(tmp_path, workers, metrics=("throughput",), rounds=None, target_ci=0.5)
    assert workers.opened == []
    start(tmp_path, workers, metrics=("throughput",), rounds=None, target_ci=0.1)
    assert workers.models() == set(THREE)
