"""Compiled graphs that draw on global tensors: every launch compares what the ranks have drawn."""

import pytest
from jobs import run_text
from test_random import EXTRA_DRAWS, PRELUDE, site


# What rank 0 alone does between two launches, and in which layout the graph's input comes: with B
# no rank hears of another in the launch itself.
@pytest.mark.parametrize("extra, layout, world", [
    *((extra, "B", 2) for extra in EXTRA_DRAWS), ("source", "S(0)", 2), ("seed", "S(0)", 2),
    ("source", "B", 3), ("dropout", "S(0)", 3), ("seed", "B", 3)])
def test_a_later_launch_notices_other_draws_on_all_ranks(tmp_path, extra, layout, world):
    job = PRELUDE + f"""
class Drops(nn.Graph):
    def build(self, x):
        return nn.functional.dropout(x, 0.5).to_global(sbp=B) * 2.0


ones = flow.ones(4, placement=everyone, sbp=B)
x = flow.ones(6, 4, placement=everyone, sbp={layout})
graph = Drops()
for step in range(2):
    y = graph(x)
    assert equal_on_all_ranks(y)
    nn.functional.dropout(ones, 0.25)  # of all ranks
    flow.rand(RANK + 1)  # of each by itself
    flow.manual_seed(step)
if RANK == 0:
    {EXTRA_DRAWS[extra]}
expect("drawn different random numbers", lambda: graph(x), *SITES)
expect("which closed graph", lambda: graph(x), "drawn different random numbers")
"""
    sites = [site(job, "lambda: graph(x), *SITES"),
             "with seed 77" if extra == "seed" else site(job, EXTRA_DRAWS[extra]),
             "launch 3 of graph Drops"]
    job = job.replace("*SITES", ", ".join(map(repr, sites)))
    assert run_text(tmp_path, world, job, check=False).stdout.count("told") == 2 * world


@pytest.mark.parametrize("world", [2, 3, 5])
def test_a_digest_of_draws_rides_on_a_launchs_messages_where_all_ranks_meet(tmp_path, world):
    job = PRELUDE + """
class Drops(nn.Graph):
    def build(self, x):
        return nn.functional.dropout(x, 0.5).to_global(sbp=B)


rounds = (WORLD - 1).bit_length()
last = flow.placement("cpu", ranks=[WORLD - 1])
local = flow.placement("cpu", ranks=[0])
for placement, sbp, messages in ((everyone, S(0), 0),  # an all-gather: each hears each
                                 (everyone, B, rounds), (last, B, rounds), (local, B, rounds)):
    graph = Drops()
    x = flow.ones(6, 4, placement=placement, sbp=sbp)
    for step in range(20):
        y = graph(x)
        flow.rand(2, placement=everyone, sbp=S(0))
    counters = graph.counters()
    assert counters["draw_messages"] == 20 * messages, (placement, sbp, counters)
    assert counters["unplanned_messages"] == 0, counters
print("fine")
"""
    assert run_text(tmp_path, world, job).stdout.count("fine") == world


@pytest.mark.parametrize("alone", [0, 1])
def test_a_rank_that_traces_anew_ends_a_launch_that_compares_draws(tmp_path, alone):
    """No edge joins these ranks: the comparison alone stands still, and asks after a second."""
    job = PRELUDE + f"""
import time


class Drops(nn.Graph):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def build(self, x):
        return self.drop(x)


graph = Drops()
x = flow.ones(6, 4, placement=everyone, sbp=B)
graph(x)
if RANK == {alone}:
    graph.drop.p = 0.25
begin = time.monotonic()
try:
    graph(x)
finally:
    assert time.monotonic() - begin < 20
"""
    done = run_text(tmp_path, 2, job, check=False)
    assert done.returncode == 1 and f"rank {alone} is starting another plan" in done.stderr
