"""The timing server of a side. Runs as a script in the side's own interpreter, and alone.

The environment of a side need not contain this package: only the standard library is imported
here, in `description` and in `placement`, and torch where the case uses it. Requests and answers
are JSON, one per line, on the pipes that were standard input and output; what the case prints goes
to standard error.

    {"do": "load", "case": [file, function], "roots": [...], ...}  -> {"seconds_per_call": ...}
    {"do": "output"}                                              -> {"output": [...], ...}
    {"do": "bind", "core": 1}                                     -> {}
    {"do": "time", "seconds": 0.01}                               -> {"calls": n, "seconds": s}

An error is answered by {"error": one line}. The server ends with its standard input.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import math
import os
import random
import re
import statistics
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from typing import Any

SEED = 20
WARMUP_WINDOW_S, WARMUP_AGREE, WARMUP_WINDOWS, WARMUP_CAP_S = 0.15, 0.05, 8, 1.2
"""As in a run (bench/measure/subject/speed.py)."""
HERE = os.path.dirname(os.path.abspath(__file__))


class CaseError(Exception):
    """The case is not what a case must be. The message is one line."""


class Server:
    """One case, loaded and warm."""

    def __init__(self) -> None:
        self.call = Call(lambda: None, ())
        self.output: Any = None
        self.placement = beside("placement")
        self.seconds_per_call = 1.0

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the case, call it once, and warm it up."""
        self.placement.go_first(request["niceness"])
        for root in reversed(request["roots"]):
            sys.path.insert(0, root)
        start = time.perf_counter()
        with_torch(lambda torch: torch.set_num_threads(request["threads"]))
        self.call = prepared(request)
        with_torch(lambda torch: torch.set_num_threads(request["threads"]))
        released = self.placement.release()
        seed()
        self.output = self.call()
        refuse_unrun(self.output)
        synchronize()
        self.placement.settle(released)
        first = time.perf_counter() - start
        before = self.placement.used()
        steady = self.warm_up()
        return {
            "first_s": first,
            "steady": steady,
            "keeps_one_busy": self.placement.keeps_one_busy(before, self.placement.used()),
            "seconds_per_call": self.seconds_per_call,
            "files": loaded_files(),
            "versions": versions(),
        }

    def bind(self, request: dict[str, Any]) -> dict[str, Any]:
        """Bind the process to a core."""
        os.sched_setaffinity(0, {request["core"]})
        return {}

    def warm_up(self) -> bool:
        """Call until two consecutive windows agree; return whether they did."""
        medians: list[float] = []
        start = time.perf_counter()
        while len(medians) < 2 or (
            len(medians) < WARMUP_WINDOWS and time.perf_counter() - start < WARMUP_CAP_S
        ):
            medians.append(self.median_of_window())
            self.seconds_per_call = max(medians[-1], 1e-9)
            if len(medians) > 1 and abs(medians[-1] / medians[-2] - 1) <= WARMUP_AGREE:
                return True
            if medians[-1] > WARMUP_CAP_S:
                return False
        return False

    def median_of_window(self) -> float:
        """Return the median seconds of calls that fill a window of the warm-up."""
        times: list[float] = []
        spent = 0.0
        while not times or spent < WARMUP_WINDOW_S:
            start = time.perf_counter()
            self.call()
            synchronize()
            times.append(max(time.perf_counter() - start, 1e-9))
            spent += times[-1]
        return statistics.median(times)

    def time(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time calls back to back for about `seconds`, after untimed ones for an eighth of it."""
        window = request["seconds"]
        if self.seconds_per_call <= window / 2:
            self.back_to_back(window / 8)
        calls, seconds = self.back_to_back(window)
        self.seconds_per_call = max(seconds / calls, 1e-9)
        return {"calls": calls, "seconds": seconds}

    def back_to_back(self, window: float) -> tuple[int, float]:
        """Return how many calls were made, and their seconds, with one wait for the device."""
        calls, call = max(1, round(window / self.seconds_per_call)), self.call
        synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        synchronize()
        return calls, time.perf_counter() - start

    def describe_output(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the output of the first call, and the inputs, for comparison."""
        return {"output": parts_of(self.output), "inputs": parts_of(self.call.inputs)}


def parts_of(value: Any) -> list[dict[str, Any]]:
    """Return the description of a value; of one that cannot be described, its type alone."""
    try:
        return list(beside("description").described(value))
    except Exception:  # of a stranger's class, whatever it does
        return [{"place": "", "kind": type(value).__name__}]


def refuse_unrun(output: Any) -> None:
    """Raise CaseError for the result of a function whose body has not run yet."""
    remedy = ""
    if inspect.iscoroutine(output):
        output.close()  # or Python warns that it was never awaited
        remedy = "lambda: asyncio.run(work())"
    elif inspect.isgenerator(output):
        remedy = "lambda: list(work())"
    elif inspect.isasyncgen(output) or inspect.isawaitable(output):
        remedy = "a function that runs it to its end"
    if remedy:
        raise CaseError(
            f"a call returns {type(output).__name__}, of which nothing has run; "
            f"have the case return a callable that runs it, such as {remedy}"
        )


class Call:
    """A callable with its inputs."""

    def __init__(self, function: Callable[..., Any], inputs: Any) -> None:
        self.function, self.inputs = function, inputs
        self.positional: Any = ()
        self.named: dict[str, Any] = {}
        if isinstance(inputs, dict):
            self.named = inputs
        elif isinstance(inputs, (tuple, list)):
            self.positional = inputs
        else:
            self.positional = (inputs,)

    def __call__(self) -> Any:
        return self.function(*self.positional, **self.named)


def prepared(request: dict[str, Any]) -> Call:
    """Return the call of a case or of a model, with seeded inputs."""
    make = of_model(request) if "model" in request else of_case(*request["case"])
    seed()
    before = set(sys.modules)
    made = make()
    if set(sys.modules) - before & {"numpy", "torch"}:
        # The case imported what its random numbers are from: draw them anew, seeded.
        seed()
        made = make()
    return checked(made)


def of_case(file: str, name: str) -> Callable[[], Any]:
    """Return the function of a file that makes the call."""
    with open(file, encoding="utf-8") as text:
        drawing = set(re.findall(r"^(?:import|from) (numpy|torch)\b", text.read(), re.MULTILINE))
    for library in sorted(drawing):
        importlib.import_module(library)  # now, so that what the file draws itself is seeded
    seed()
    module = module_of("bench_ab_case", file)
    made = getattr(module, name, None)
    if not callable(made):
        known = [key for key, one in vars(module).items() if callable(one) and key[0] != "_"]
        raise CaseError(f"{file} has no function {name}; it has {', '.join(known) or 'none'}")
    return made


def beside(name: str) -> Any:
    """Return a file of this folder as a module: the folder itself is not on the path."""
    known = f"bench_ab_{name}"
    return sys.modules.get(known) or module_of(known, os.path.join(HERE, f"{name}.py"))


def module_of(name: str, file: str) -> Any:
    """Return a file as a module."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise CaseError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def checked(made: Any) -> Call:
    """Return what a case returned as a call: a callable, or a pair of a callable and its inputs."""
    if callable(made):
        return Call(made, ())
    if isinstance(made, (tuple, list)) and len(made) == 2 and callable(made[0]):
        return Call(*made)
    raise CaseError(
        f"the case returned {type(made).__name__}; it must return a callable, or a pair of a "
        "callable and its inputs (a tuple, a dict of keywords, or one value)"
    )


def of_model(request: dict[str, Any]) -> Callable[[], Any]:
    """Return a function that builds a model of this environment and its images."""

    def make() -> Any:
        import torch

        device = device_of(torch, request["device"])
        model = built(request["model"], request["image_size"])
        refill(torch, model)
        model = model.eval().to(device)
        size = request["image_size"] or 224
        shape = (request["batch_size"], 3, size, size)
        images = torch.randn(shape, generator=torch.Generator().manual_seed(SEED)).to(device)

        def call(images: Any) -> Any:
            with torch.inference_mode():
                return model(images)

        return call, (images,)

    return make


def device_of(torch: Any, wanted: str) -> str:
    """Return the device for the name given, the best one for "auto"."""
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def built(name: str, image_size: int | None) -> Any:
    """Return a model of this environment's bench, if it has one of that name, else of its timm."""
    if not name.startswith("timm:"):
        entry = of_bench(name)
        if entry is not None:
            entry.load()
            return entry.build(
                image_size=image_size or entry.image_size, num_classes=entry.num_classes
            )
    import timm

    name = name.partition(":")[2] or name
    if not timm.is_model(name):
        raise CaseError(f"neither bench nor timm {timm.__version__} has a model {name}")
    return timm.create_model(name, pretrained=False)


def of_bench(name: str) -> Any:
    """Return the entry of a model of the bench that this environment has, if there is one."""
    try:
        return importlib.import_module("bench.plugins").models.get(name)
    except (ImportError, ValueError):  # no bench, or no such model in it
        return None


def refill(torch: Any, model: Any) -> None:
    """Fill weights by their names, so that two versions of a library have the same ones."""
    with torch.no_grad():
        for name, value in model.state_dict(keep_vars=True).items():
            if not value.is_floating_point():
                continue
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            drawn = torch.randn(value.shape, generator=generator)
            if value.dim() > 1:
                fan_in = max(1, math.prod(value.shape[1:]))
                value.copy_(drawn / math.sqrt(fan_in))
            elif name.endswith(("weight", "running_var")):
                value.copy_(1 + 0.1 * drawn.clamp(-3, 3))
            else:
                value.copy_(0.1 * drawn)


def seed() -> None:
    """Seed every generator whose module is loaded."""
    random.seed(SEED)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(SEED)
    with_torch(lambda torch: torch.manual_seed(SEED))


def with_torch(do: Callable[[Any], object]) -> None:
    """Call `do` with torch if the case has imported it."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):
        do(torch)


def synchronize() -> None:
    """Wait for every GPU that the case uses through torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            torch.cuda.synchronize(index)
    elif getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
        torch.mps.synchronize()


# What is said about the case


def loaded_files() -> list[str]:
    """Return the files of every module that was loaded."""
    found = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return sorted(file for file in found if isinstance(file, str))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that speed depends on most."""
    found = {"python": sys.version.split()[0]}
    for name in ("torch", "timm", "numpy"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version:
            found[name] = str(version)
    return found


# The conversation


def in_a_line(error: BaseException) -> str:
    """Return an error of the case in one line, with the place that raised it."""
    text = f"{type(error).__name__}: {error}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen")
    ]
    if frames:
        text += f" ({frames[-1].filename}, line {frames[-1].lineno})"
    return " ".join(text.split())


def serve() -> None:
    """Answer requests until standard input ends."""
    if os.path.dirname(os.path.abspath(__file__)) == os.path.abspath(sys.path[0]):
        del sys.path[0]  # this package's own modules are none of the case's business
    asked = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)  # the case may print
    server = Server()
    known = {
        "load": server.load,
        "bind": server.bind,
        "time": server.time,
        "output": server.describe_output,
    }
    for line in asked:
        request = json.loads(line)
        try:
            answer = known[request["do"]](request)
        except CaseError as error:
            answer = {"error": str(error)}
        except (Exception, SystemExit) as error:
            answer = {"error": in_a_line(error)}
        sys.stdout.flush()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
