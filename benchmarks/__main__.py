"""All benchmarks: `make benchmarks`, or `python benchmarks`. Prints a Markdown table."""

from __future__ import annotations

import batch_transform
import cold_start
import gateway_cost
import invocations
import job_overhead
import large_objects
import pipe_mode
import tuning_jobs
import tuning_quality
import unchanged_check
import xgboost_invocations
import xgboost_training
from measure import HEAD, machine

if __name__ == "__main__":
    print(machine(), end="\n\n")
    print(HEAD)
    for benchmark in (cold_start, job_overhead, pipe_mode, unchanged_check, gateway_cost, batch_transform):
        print(benchmark.run().row(), flush=True)
    for several in (xgboost_training, xgboost_invocations):
        for comparison in several.run():
            print(comparison.row(), flush=True)
    print(tuning_jobs.run().row(), flush=True)
    print()
    large_objects.main()
    print()
    invocations.main()
    print()
    tuning_quality.tables()
