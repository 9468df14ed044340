"""The stage filter over a cluster: each worker reads row groups of the raw shards and judges their posts."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from hashgen.base.places import everywhere
from hashgen.cluster.session import over_cluster
from hashgen.corpus.posts import RowGroup
from hashgen.filtering.judging import Judged, judge_row_group
from hashgen.params.filter import Filter


def judge_over_cluster(groups: Sequence[RowGroup], section: Filter, workers: int | None) -> Iterator[Judged]:
    """What `hashgen.filtering.judging.judge_all` yields, in the same order; pictures stay with the workers.

    Ray Data's own reader of Parquet hands on no row numbers, which the posts are found by later, and would send the
    pictures through its store: so jobs are row groups. Raises HashgenError as `judge_all` and `over_cluster`.
    """
    jobs = [dataclasses.replace(group, shard=everywhere(group.shard)) for group in groups]
    for judged in over_cluster(partial(_judge, section), jobs, stage="filter", ordered=True, workers=workers):
        yield from judged


def _judge(section: Filter) -> Callable[[RowGroup], Iterable[list[Judged]]]:
    return lambda group: [list(judge_row_group(group, section))]
