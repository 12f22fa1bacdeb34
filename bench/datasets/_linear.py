"""Multinomial logistic regression on raw pixels: the baseline that a network has to beat.

Pixels are standardised by the training split, and the strength of the L2 penalty is the one with
the highest top-1 on the validation split. The objective is the mean cross-entropy plus half the
penalty times the squared weights, the intercept's included. It is strongly convex then, which
bounds its distance from the optimum by the gradient: the fit ends when that bound is below `GAP`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.training.images.splits import Split, Splits

STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Penalties that are tried, the strongest first: each fit starts from the one before."""
GAP = 1e-5
"""Nats between a fit and the optimum, at most; the cross-entropy of guessing is 2.3."""
SAMPLED = 4
"""Images per pixel value from which the curvature is estimated. It sets the speed of convergence
only, and all images would take longer for that than the fits."""
MOST = 400
"""Evaluations of the objective for a penalty; it takes about 15."""


def logistic_regression(splits: Splits) -> tuple[Tensor, dict[str, Any]]:
    """Return the labels of the test images (n,) int64, and how they were found.

    Raises NotImplementedError if the images are not held in memory at one size.
    """
    if not splits.in_memory:
        raise NotImplementedError("the images differ in size, so they have no pixels in common")
    began = time.perf_counter()
    mean, std = _statistics(splits.train)
    problem = Problem(_rows(splits.train, mean, std), splits.train.labels, splits.num_classes)
    selecting = _rows(splits.select, mean, std)
    fits = list(problem.path())
    right = [_right(selecting, weights, splits.select.labels) for _, weights, _ in fits]
    penalty, weights, gap = fits[right.index(max(right))]
    labels = _labels(_rows(splits.test, mean, std), weights)
    detail = {
        "penalty": penalty,
        "penalties": list(STRENGTHS),
        "gap": gap,
        "train_s": time.perf_counter() - began,
    }
    return labels, detail


def _statistics(split: Split) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every pixel value, which is 1 for a constant one."""
    std, mean = torch.std_mean(split.images.flatten(1).float(), dim=0, correction=0)
    return mean, torch.where(std > 0, std, 1.0)


def _rows(split: Split, mean: Tensor, std: Tensor) -> Tensor:
    """Return images as rows of standardised pixels and a 1 (n, pixels + 1) float32."""
    rows = torch.ones(len(split), len(mean) + 1)
    rows[:, :-1].copy_(split.images.flatten(1)).sub_(mean).div_(std)
    return rows


def _labels(rows: Tensor, weights: Tensor) -> Tensor:
    return (rows @ weights).argmax(dim=1)


def _right(rows: Tensor, weights: Tensor, labels: Tensor) -> int:
    return int((_labels(rows, weights) == labels).sum())


class Converged(Exception):
    """Ends a fit at weights (d, classes) that are within `gap` nats of the optimum."""

    def __init__(self, weights: Tensor, gap: float) -> None:
        super().__init__(weights, gap)
        self.weights, self.gap = weights, gap


class Problem:
    """The objective on some rows (n, d) with labels (n,), and its minimum for every penalty."""

    def __init__(self, rows: Tensor, labels: Tensor, classes: int) -> None:
        self.rows, self.labels, self.classes = rows, labels, classes
        sample = rows[:: max(1, len(rows) // (SAMPLED * rows.shape[1]))]
        # The Hessian of one class where all classes are equally likely, as they are at the start.
        self.curvature = sample.T @ sample / (len(sample) * classes)

    def path(self) -> Iterator[tuple[float, Tensor, float]]:
        """Yield each penalty with its weights (d, classes), and the bound on their distance from
        the optimum in nats."""
        weights = torch.zeros(self.rows.shape[1], self.classes)
        for penalty in STRENGTHS:
            weights, gap = self.fit(penalty, weights)
            yield penalty, weights, gap

    def fit(self, penalty: float, start: Tensor) -> tuple[Tensor, float]:
        """Minimise by L-BFGS in coordinates in which the curvature is about 1 in all directions.

        Returns the weights and the bound. Raises RuntimeError if the bound is not reached.
        """
        factor = torch.linalg.cholesky(self.curvature + penalty * torch.eye(len(self.curvature)))
        inner = (factor.T @ start).contiguous().requires_grad_()

        def weights() -> Tensor:
            return torch.linalg.solve_triangular(factor.T, inner.detach(), upper=True)

        def objective() -> Tensor:
            found = weights()
            value, gradient = self.value_and_gradient(found, penalty)
            gap = float(gradient.square().sum()) / (2 * penalty)
            if gap <= GAP:
                raise Converged(found, gap)
            solved = torch.linalg.solve_triangular(factor, gradient, upper=False)
            inner.grad = solved.contiguous()  # L-BFGS takes views of it
            return value

        optimizer = torch.optim.LBFGS(
            [inner],
            max_iter=MOST,
            max_eval=MOST,
            history_size=20,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )
        try:
            optimizer.step(objective)
        except Converged as end:
            return end.weights, end.gap
        raise RuntimeError(f"no convergence in {MOST} evaluations at a penalty of {penalty:g}")

    def value_and_gradient(self, weights: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
        """Return the objective (a scalar) and its gradient (d, classes) at some weights."""
        logs = F.log_softmax(F.linear(self.rows, weights.T.contiguous()), dim=1)
        # A line search near the optimum needs more digits than a sum in float32 has.
        loss = -logs.gather(1, self.labels[:, None]).double().mean()
        value = loss + penalty / 2 * weights.double().square().sum()
        residuals = logs.exp_().sub_(F.one_hot(self.labels, self.classes))
        # In this order the product takes a thirtieth of the time of rows.T @ residuals.
        gradient = (residuals.T @ self.rows).T / len(self.rows)
        return value, gradient + penalty * weights
