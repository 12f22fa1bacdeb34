"""Tables and lists of others: published accuracies, costs, annotations, classes, labels."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "published table",
        "list of annotations",
        "list of classes",
        "labels",
        "costs",
    )
