"""The kinds of plug-ins, with what each declares, and their registries.

A plug-in file adds an entry to the registry of its kind:

    models.add(Model(name="my_net", family="mine", build=build))

Nothing here imports torch, because the report uses these registries too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal

from bench.devices import CUDA, kind_of
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

    `timm_name` is timm's name of the same architecture, by which published accuracies are found.
    `relatives` are timm's other names of the same graph, each under a short word: weights of theirs
    are spelled `vit_s16@deit.fb_in1k`. `shape` is optional; its `counts(image_size, num_classes)`
    returns params, macs and tokens in closed form. `load()` imports what `build` needs, if that was
    not imported with the entry. `users` is true if the code is the user's own and not that of the
    file which registered the entry: the model is then identified by what it builds, so that an
    edited model is a new configuration (see `bench/count/identity.py`).
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
    """A family whose shapes can be searched for an equal budget.

    A shape has `name` and `counts(image_size, num_classes)`. A family has one or both of:

    - `candidates(image_size, patches, free_mlp=..., reachable=...)` yields pairs of a shape and its
      distance from the family's published scaling; `rule` describes that distance in words. It may
      skip all shapes between two for which `reachable(smallest, largest)` is false.
    - `twin(width, depth, patch, hidden)` returns the shape with the same grid, width and depth; the
      hidden width of its MLP is then adjusted to meet the budget.

    `patch` is the usual patch size by image size; a family without it accepts any image size.
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
    switches are refused for training steps. A switch with `needs` is combined with one of those,
    and one with `needs_data` takes pictures from `--data`. A `handwritten` switch has kernels for
    some models only: its rows are marked, and it is never chosen as best nor drawn in figures of
    all models. `tolerance` is the largest error of logits that a switch may cause, relative to
    their spread between images (`bench/measure/subject/agreement.py`); None: that of float32.
    """

    name: str
    apply: Callable[[Any], None]
    order: int
    slot: str
    also: tuple[str, ...] = ()
    default: bool = False
    inference_only: bool = False
    handwritten: bool = False
    tolerance: float | None = None
    needs: tuple[str, ...] = ()
    needs_data: bool = False
    supports: Callable[[str], str | None] = lambda device: None
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A reference row of a data set, without a network.

    `predict(splits)` returns the predicted labels of the test images (n,) int64, and what the
    record has to say about them, by name. `seconds` is about how long that takes on one core, for
    forecasts before it was measured.
    """

    predict: Callable[[Any], tuple[Any, dict[str, Any]]]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images with labels in three splits: train, select (validation) and test.

    The validation split is taken from the training split if the source has none. `argument` is the
    part after the colon in `--data name:argument`. `open(argument)` returns a
    `bench.training.images.splits.Splits`, `num_classes(argument)` the number of classes, and
    `check(argument)` raises a UsageError if the data cannot be used. `identity(argument)` is the
    argument as records store it: for images that may be in any folder, a name of their content.

    `image_size` is the size at which images are shown (None: each model's own), and `recipe` the
    default recipe. `published` is true if the classes are ImageNet's, so that published weights can
    be evaluated. `baselines` are reference rows without a network, by name.
    """

    name: str
    open: Callable[[str], Any]
    num_classes: Callable[[str], int]
    image_size: int | None = None
    recipe: str | None = None
    published: bool = False
    baselines: dict[str, Baseline] = field(default_factory=dict)
    argument: str = ""
    check: Callable[[str], Any] = lambda argument: None
    identity: Callable[[str], str] = lambda argument: argument
    caveat: str = ""
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure that is drawn from records.

    `draw(summary)` returns a matplotlib figure, or a dict of figures by file stem, which is empty
    if there is nothing to draw. The summary of a figure `of_studies` also has the rows that were
    measured only for studies. `stem` is what the file stems begin with, if not the name. `needs`
    says in words what has to be in the records, for where it is not.
    """

    name: str
    draw: Callable[..., Any]
    of_studies: bool = False
    summary: str = ""
    stem: str = ""
    needs: str = ""

    @property
    def prefix(self) -> str:
        """What the stems of its files are or begin with."""
        return self.stem or self.name


@dataclass(frozen=True, kw_only=True)
class Need:
    """Arms that a study needs, measured together in one run.

    `settings` are fields of `bench.config.RunConfig`. `worth` is the share of the answer that
    depends on this run; the queue of studies starts with the most worth per minute.
    """

    what: str
    settings: dict[str, Any]
    worth: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question that records answer.

    `needs(scale, device)` lists the runs that it needs on a kind of device (cpu, cuda or mps).
    `judge(evidence, scale)` yields a `bench.claims.rules.Finding` per effect from a
    `bench.claims.evidence.Evidence`. `scale` is a `bench.claims.scales.Scale` if the study
    `trains`, else None: speeds are always measured on the real models. `claims` are the numbers of
    the paper's claims in docs/claims.md that the study tests.

    `headline` is the claim in at most 48 characters, and `claim` in one sentence for a reader who
    knows nothing of the project; both say what holds if the verdict is "supported". Without them,
    `bench findings` shows the question. `paper` is the place in "Patches Are All You Need?" where
    the claim is made; it is empty for a claim that others make.

    `judge` is also called with empty evidence, to read what the study declares
    (`bench.claims.questions`). It has to yield the same findings whatever was measured, with
    `effect=None` for what was not.
    """

    name: str
    question: str
    needs: Callable[[Any, str], list[Need]]
    judge: Callable[[Any, Any], Any]
    trains: bool
    claims: tuple[int, ...] = ()
    headline: str = ""
    claim: str = ""
    paper: Literal["", "abstract", "design", "results", "ablations"] = ""


def cuda_only(reason: str) -> Callable[[str], str | None]:
    """Return a `supports` for NVIDIA GPUs only; `reason` is the answer for other devices."""
    return lambda device: None if kind_of(device) is CUDA else reason


@dataclass(frozen=True)
class Arrived:
    """The result of an accuracy arm that was measured elsewhere: its key, machine, and value or
    failure.

    `refused` is an error that the user has to correct before anything can be measured there.
    """

    key: str
    where: str
    value: float | None = None
    failure: str | None = None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """A way to distribute accuracy arms over machines.

    `spread(config, keys)` measures the arms with these keys into the shared results folder, and
    yields each when it has finished. None: the runner measures them itself, one after the other.
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
"""Figures of `bench claim`, which reports do not contain: `draw` gets a
`bench.claims.comparison.Answer` and returns one matplotlib figure."""
finding_figures: Registry[Figure] = Registry(
    "figure of the findings", room="plots", plural="finding_figures", flag="findings"
)
"""Figures of `bench findings`: `draw` gets a list of `bench.claims.answers.ClaimAnswer` and returns
a dict of figures by name."""
launchers: Registry[Launcher] = Registry("launcher", room="bench.launchers", flag="--launcher")
studies: Registry[Study] = Registry("study", room="bench.studies", plural="studies", flag="study")


def dataset_of(data: str) -> tuple[Dataset, str]:
    """Return the data set and the argument of `--data name:argument`."""
    name, _, argument = data.partition(":")
    return datasets.get(name), argument


def open_data(data: str) -> Any:
    """Return the splits of `--data name:argument`."""
    dataset, argument = dataset_of(data)
    return dataset.open(argument)
