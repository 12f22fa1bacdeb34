"""What a plug-in of each kind declares, and the registries that hold them.

A plug-in file adds an entry to the registry of its kind:

    models.add(Model(name="my_net", family="mine", build=build))

Nothing here imports torch: the report asks these registries too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal

from bench.plugins.readings import Reading, Subject
from bench.plugins.registry import Registry

if TYPE_CHECKING:
    # Its default lets others write `Metric` for a metric of any kind; typing has one from 3.13 on.
    from typing_extensions import TypeVar

    S = TypeVar("S", bound=Subject, default=Any)
else:
    from typing import TypeVar

    S = TypeVar("S", bound=Subject)

Better = Literal["lower", "higher", "none"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """An architecture that can be built at any size.

    `build(*, image_size, num_classes)` returns a `torch.nn.Module` that maps float images of shape
    (batch, 3, image_size, image_size) to logits of shape (batch, num_classes).
    `timm_name` is timm's name of the same architecture; published accuracies are looked up by it. `relatives` are
    timm's other names of the same graph by a short word: their weight tags are spelled `vit_s16@deit.fb_in1k`.
    `shape`, where it is known, has `counts(image_size, num_classes)`: params, macs and tokens in closed form.
    `load()` imports what `build` needs, where looking the name up does not. `users` says that the code is not of the file
    that registered the entry, but the user's own: what it builds is looked at, so that an edited model is a new arm (see
    `bench/count/identity.py`).
    """

    name: str
    family: str
    build: Callable[..., Any]
    image_size: int = 224
    num_classes: int = 1000
    timm_name: str | None = None
    relatives: dict[str, str] = field(default_factory=dict, hash=False)
    load: Callable[[], object] = lambda: None
    users: bool = False
    shape: Any = None
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family whose shapes can be searched for an equal budget. A shape has `name` and `counts(image_size, num_classes)`.

    `candidates(image_size, patches, free_mlp=..., reachable=...)` yields pairs of a shape and its distance from the
    family's published scaling, and may skip all shapes between two for which `reachable(smallest, largest)` is
    false; `rule` says in words what the distance is. `patch` is the usual patch at an image size; a family without it takes any size.
    `twin(width, depth, patch, hidden)` is the shape on the same grid with the same width and depth, where the hidden
    width of its MLP is what closes the budget. A family may have either or both.
    """

    name: str
    candidates: Callable[..., Any] | None = None
    twin: Callable[[int, int, int, int], Any] | None = None
    rule: str
    patch: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Metric(Generic[S]):
    """One quantity with a unit and a direction.

    `arm` is the kind of configuration that it is measured on: "count" (model and image size),
    "speed" (model, policy, device, batch size, image size), "accuracy" (model, recipe or weights,
    data) or "probe" (the machine itself).

    `measure(subject, window)` measures for about `window` seconds and returns a `Reading`; `window`
    here overrides the usual length. The subject is the class of `bench.measure.subject` for that
    kind of arm (`SpeedSubject` for "speed"); it has at least what `Subject` declares. `measure`
    raises NotImplementedError, with the reason, where this arm does not have the quantity.

    `batch` restricts a speed metric to one batch size, and `mode` says what a call does. `rounds`
    limits the rounds that the metric takes part in. A `cold` metric needs an empty compiler cache
    in every process. An `on_request` metric is measured only if the user names it.
    `supports(device)` returns the reason why a device does not have the quantity, else None.
    """

    name: str
    unit: str
    better: Better
    arm: Literal["count", "speed", "accuracy", "probe"]
    measure: Callable[[S, float], Reading]
    batch: int | None = None
    mode: Literal["inference", "training", "capacity"] = "inference"
    window: float | None = None
    rounds: int | None = None
    cold: bool = False
    on_request: bool = False
    supports: Callable[[str], str | None] = lambda device: None
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One switch of how a model is executed; switches are combined as `bf16+channels_last`.

    `apply(execution)` changes a `bench.measure.subject.Execution` in place; it raises
    NotImplementedError, with the reason, for a model that it cannot be applied to. Switches are
    applied by ascending `order`, however the user typed them, so that a combination has one name.
    `slot` names what is switched: two switches of one slot exclude each other. `also` names further
    slots that a switch occupies, and `default` marks the switch of a slot that changes nothing.
    `supports(device)` returns the reason why a device cannot run it, else None. `inference_only`
    switches are refused for training steps. A `handwritten` switch has kernels for some models
    only: its rows are marked, and it is never chosen as best nor drawn in figures of all models.
    """

    name: str
    apply: Callable[[Any], None]
    order: int
    slot: str
    also: tuple[str, ...] = ()
    default: bool = False
    inference_only: bool = False
    handwritten: bool = False
    supports: Callable[[str], str | None] = lambda device: None
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images with labels in three splits: train, select (carved from train where a source has none) and test.

    `open(argument)` returns a `bench.training.images.splits.Splits`; `argument` is what follows the colon in `--data
    name:argument`, and `num_classes(argument)` how many classes there are. `check(argument)` raises a UsageError where
    the data cannot be used. `image_size` is the size it is shown at (None: each model's own). `recipe` is the one it
    trains under where none is asked for. `published`: its classes are ImageNet's, so published weights can be evaluated
    on it. `baselines` are reference rows that need no network, by name: `baseline(splits) -> predicted test labels`.
    `identity(argument)` is what records call the argument: where the same images may lie in any folder, what they are.
    """

    name: str
    open: Callable[[str], Any]
    num_classes: Callable[[str], int]
    image_size: int | None = None
    recipe: str | None = None
    published: bool = False
    baselines: dict[str, Callable[..., Any]] = field(default_factory=dict)
    argument: str = ""
    check: Callable[[str], Any] = lambda argument: None
    identity: Callable[[str], str] = lambda argument: argument
    caveat: str = ""
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure from records alone.

    `draw(summary)` returns a matplotlib figure, or several by file stem (none where there is nothing to draw). Figures
    `of_studies` are given what was measured for studies alone as well.
    """

    name: str
    draw: Callable[..., Any]
    of_studies: bool = False
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Need:
    """Arms that a study needs, measured together in one run.

    `settings` are fields of `bench.config.RunConfig`; `worth` says how much of an answer waits for it: a study's queue
    takes what brings most per minute first.
    """

    what: str
    settings: dict[str, Any]
    worth: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question asked of the records.

    `needs(scale, device)` lists what has to be measured on a kind of device (cpu, cuda or mps), `judge(evidence, scale)`
    yields `bench.claims.rules.Finding`s from a `bench.claims.evidence.Evidence`. `scale` is a `bench.claims.scales.Scale` where
    the study `trains`, else None: speeds are taken of the real models everywhere. `claims` are the numbers of the
    paper's claims (docs/claims.md) that it asks about.

    `judge` is also called with evidence of nothing, to read what the study declares (`bench.claims.questions`). Yield the same
    findings whatever was measured, with `effect=None` where nothing was.
    """

    name: str
    question: str
    needs: Callable[[Any, str], list[Need]]
    judge: Callable[[Any, Any], Any]
    trains: bool
    claims: tuple[int, ...] = ()


def cuda_only(reason: str) -> Callable[[str], str | None]:
    """A `supports` for what NVIDIA GPUs alone have; `reason` is what other devices are told."""
    return lambda device: None if device.startswith("cuda") else reason


@dataclass(frozen=True)
class Arrived:
    """An accuracy arm that was measured elsewhere: by its key, on which machine, with what value or failure.

    `refused` is what the user has to mend before anything can be measured there.
    """

    key: str
    where: str
    value: float | None = None
    failure: str | None = None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """A way to spread accuracy arms. `spread(config, keys)` measures the arms of these keys in the results folder that all
    share, and yields each as it is finished; None: the runner does it, one after the other.
    """

    name: str
    spread: Callable[[Any, list[str]], Iterator[Arrived]] | None
    summary: str = ""


models: Registry[Model] = Registry("model", room="models", flag="--models")
families: Registry[Family] = Registry("family", room="models", plural="families", flag="--match")
metrics: Registry[Metric] = Registry("metric", room="bench.metrics", flag="--metrics")
policies: Registry[Policy] = Registry(
    "policy", room="bench.policies", plural="policies", flag="--policies"
)
datasets: Registry[Dataset] = Registry("dataset", room="bench.datasets", flag="--data")
figures: Registry[Figure] = Registry("figure", room="plots", flag="figures")
claim_figures: Registry[Figure] = Registry(
    "figure of a claim", room="plots", plural="claim_figures", flag="claim"
)
"""Their `draw` is given a `bench.claims.comparison.Answer` and returns one matplotlib figure; reports have no place for them."""
launchers: Registry[Launcher] = Registry("launcher", room="bench.launchers", flag="--launcher")
studies: Registry[Study] = Registry("study", room="bench.studies", plural="studies", flag="study")


def dataset_of(data: str) -> tuple[Dataset, str]:
    """The data set and the argument of `--data name:argument`."""
    name, _, argument = data.partition(":")
    return datasets.get(name), argument


def open_data(data: str) -> Any:
    """The splits of `--data name:argument`."""
    dataset, argument = dataset_of(data)
    return dataset.open(argument)
