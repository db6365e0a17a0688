"""All benchmarks: `make benchmarks`, or `python benchmarks`. Prints a Markdown table."""

from __future__ import annotations

import cold_start
import gateway_cost
import job_overhead
import large_objects
import pipe_mode
import unchanged_check
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
    ):
        print(run().row(), flush=True)
    print()
    large_objects.main()
