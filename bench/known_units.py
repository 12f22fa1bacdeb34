"""The unit of every metric of the suite's own: a record in another one is somebody else's and is left out by name.

The registry knows them too, but it imports torch; a test holds the two against each other. A metric that is not listed
here came as a plug-in, and its unit is what its records say.
"""

from __future__ import annotations

from bench.record import Record

UNITS = {
    "activations": "element",
    "canary": "s",
    "copy_ceiling": "B/s",
    "energy": "J",
    "first_call": "s",
    "graph_latency": "s",
    "largest_batch": "image",
    "latency": "s",
    "layer_time": "s",
    "macs": "MAC",
    "matmul_ceiling": "MAC/s",
    "memory": "B",
    "params": "parameter",
    "receptive_field": "pixel",
    "throughput": "image/s",
    "top1": "share",
    "train_memory": "B",
    "train_step": "s",
    "train_throughput": "image/s",
}


def foreign(record: Record) -> str | None:
    """What is wrong with a record's units, in words; None where nothing is."""
    for line in record.rounds:
        for sample in line.samples:
            expected = UNITS.get(sample.metric, sample.unit)
            if sample.unit != expected:
                return (
                    f"{sample.metric} is in {sample.unit!r}, this bench has it in {expected!r}; "
                    "move the file away, the other records are untouched"
                )
    return None
