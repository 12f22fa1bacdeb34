"""From a plan to records: rounds, phases, backlog, torchrun and the study queue."""
