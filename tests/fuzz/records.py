"""Records of speeds, counts, accuracies and probes."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz(
        __doc__,
        "record of a speed",
        "record of counts",
        "record of an accuracy",
        "record of a probe",
        sealed=True,
    )
