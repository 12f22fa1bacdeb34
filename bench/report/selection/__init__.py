"""What a report shows: `--family`, `--where`, `--sort` and `--columns`."""

from bench.report.selection.chosen import Selection as Selection
from bench.report.selection.chosen import arrange as arrange
from bench.report.selection.chosen import check as check
from bench.report.selection.chosen import check_columns as check_columns
from bench.report.selection.chosen import leaves_something as leaves_something
from bench.report.selection.chosen import select as select
from bench.report.selection.chosen import selection as selection
