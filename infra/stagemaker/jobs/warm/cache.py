"""The folder that the jobs of a warm pool share: `/opt/ml/sagemaker/warmpoolcache`, one for each host.

It moves into a job's tree and back, so it counts to the job's volume and nothing of the pool's is
within the reach of any other job. A job whose runner dies takes it along.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from stagemaker.contract.layout import Layout


def take_cache(kept: Path, layout: Layout) -> None:
    """Bring what the pool has kept at `kept` into a fresh tree; an empty folder when it is the first job."""
    cache = layout.warm_pool_cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    try:
        kept.rename(cache)
    except OSError:  # there is none, or the last job has closed it to everybody: a cache may be lost
        cache.mkdir()


def give_cache(kept: Path, layout: Layout) -> None:
    """The reverse. A job may have made anything of the folder: what is not one is left behind."""
    cache = layout.warm_pool_cache
    parents = (cache, cache.parent, layout.base)
    if any(each.is_symlink() or not each.is_dir() for each in parents):
        return
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        cache.rename(kept)
