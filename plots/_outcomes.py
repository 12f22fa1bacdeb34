"""The colours of verdicts, the same in every figure; distinct in the common colour blindnesses."""

COLOURS = {
    "supported": "#009E73",
    "contradicted": "#D55E00",
    "inconclusive": "#666666",
    "not measured": "#BBBBBB",
    "pipeline check": "#0072B2",
    "exact": "#333333",
}


def colour(outcome: str) -> str:
    """Of an outcome."""
    return COLOURS[outcome]
