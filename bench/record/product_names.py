"""Which operators are products, by their names alone: for the counts, and for the report that reads their records.

Convention: matrix products, convolutions, linear and recurrent layers and attention are products. Norms, activations,
pooling, resizing and whatever works element by element are not. A product without a formula (`bench/count/operators.py`) has
no count: a figure without it would be too small.
"""

from __future__ import annotations

import re

PRODUCT_WORD = re.compile(
    r"conv(\d?d|olution|tbc)?|\w*mm|\w*mv|\w*dot|matmul|(bi|tri)?linear|einsum|inner|attention|transformer|lstm|gru|rnn|cdist|pdist|euclidean"
    r"|\w*fft|stft|istft|inverse|pinverse|inv|pinv|solve|lstsq|svd|svdvals|qr|lu|eig\w*|cholesky|det|slogdet|logdet"
)
"""Products, and sums over products that the convention has no word for: transforms, distances, factorisations."""
NO_PRODUCTS = {
    *("aten::_thnn_fused_lstm_cell", "aten::_thnn_fused_gru_cell"),
    *("aten::_cudnn_rnn_flatten_weight", "aten::_use_cudnn_rnn_flatten_weight"),
    *(f"aten::fft_{name}" for name in ("fftfreq", "rfftfreq", "fftshift", "ifftshift")),
    *(
        f"torchvision::{name}"
        for name in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
    ),
}
"""The gates of a recurrent layer, copies, and poolings: their names alone would say otherwise."""
NAMESPACES = {"aten", "prim", "prims", "profiler"}
OPAQUE = ("prim::PythonOp", "prim::CallFunction", "prim::CallMethod", "prim::Loop", "prim::If")
"""What a trace does not look into: autograd functions, scripted functions and their control flow."""


def is_product(operator: str) -> bool:
    """True if an operator that has no count would be missed: by its name, or because it is not PyTorch's own."""
    if operator in NO_PRODUCTS or is_opaque(operator):
        return False
    namespace, _, name = operator.partition("::")
    words = name.partition(".")[0].strip("_").split("_")
    return namespace not in NAMESPACES or any(PRODUCT_WORD.fullmatch(word) for word in words)


def is_opaque(operator: str) -> bool:
    """True if products may be hidden inside an operator of a trace."""
    return operator.startswith(OPAQUE)
