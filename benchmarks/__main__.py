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
    for run in (
        cold_start.run,
        job_overhead.run,
        job_overhead.run_warm,
        pipe_mode.run,
        unchanged_check.run,
        gateway_cost.run,
        batch_transform.run,
        tuning_jobs.run,
    ):
        print(run().row(), flush=True)
    for several in (xgboost_training, xgboost_invocations):
        for comparison in several.run():
            print(comparison.row(), flush=True)
    print()
    large_objects.main()
    print()
    invocations.main()
    print()
    tuning_quality.tables()
