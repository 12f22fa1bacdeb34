"""The operators that are products, by name: for counting, and for the report that reads the counts.

Matrix products, convolutions, linear and recurrent layers and attention are products. Norms,
activations, pooling, resizing and elementwise operators are not. A product without a formula
(`bench/count/operators.py`) has no count, as a count without it would be too small.
"""

from __future__ import annotations

import re

PRODUCT_WORD = re.compile(
    r"conv(\d?d|olution|tbc)?|\w*mm|\w*mv|\w*dot|matmul|(bi|tri)?linear|einsum|inner"
    r"|attention|transformer|lstm|gru|rnn|cdist|pdist|euclidean"
    r"|\w*fft|stft|istft|inverse|pinverse|inv|pinv|solve|lstsq|svd|svdvals|qr|lu|eig\w*"
    r"|cholesky|det|slogdet|logdet"
)
"""Words in the names of products, and of sums over products that the convention does not mention:
transforms, distances, factorisations."""
NO_PRODUCTS = {
    *("aten::_thnn_fused_lstm_cell", "aten::_thnn_fused_gru_cell"),
    *("aten::_cudnn_rnn_flatten_weight", "aten::_use_cudnn_rnn_flatten_weight"),
    *("aten::fft_fftfreq", "aten::fft_rfftfreq", "aten::fft_fftshift", "aten::fft_ifftshift"),
    *("torchvision::nms", "torchvision::roi_align", "torchvision::roi_pool"),
    *("torchvision::ps_roi_align", "torchvision::ps_roi_pool"),
}
"""Operators that are not products although their names suggest it: the gates of recurrent layers,
copies and pooling."""
NAMESPACES = {"aten", "prim", "prims", "profiler"}
"""Namespaces of PyTorch's own operators."""
OPAQUE = ("prim::PythonOp", "prim::CallFunction", "prim::CallMethod", "prim::Loop", "prim::If")
"""Operators that a trace does not look into: autograd functions, scripted functions and their
control flow."""


def is_product(operator: str) -> bool:
    """True if an operator without a count would be missed.

    That is if its name has the word of a product, or if it is not one of PyTorch's own.
    """
    if operator in NO_PRODUCTS or is_opaque(operator):
        return False
    namespace, _, name = operator.partition("::")
    words = name.partition(".")[0].strip("_").split("_")
    return namespace not in NAMESPACES or any(map(PRODUCT_WORD.fullmatch, words))


def is_opaque(operator: str) -> bool:
    """True if an operator of a trace may contain products."""
    return operator.startswith(OPAQUE)
