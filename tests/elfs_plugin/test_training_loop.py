import math

import pytest
import torch

from elfs_plugin.errors import Cancelled, ElfsError
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.training_checkpoint import TrainingCheckpoint
from elfs_plugin.training_loop import EpochDraws, TrainingLoop, cosine_rate

NOT_KEPT = TrainingCheckpoint(None, None)


class Sum(TrainingLoop):
    """Adds up what it draws: the order of the numbers to four, and noise at every step."""

    device = torch.device("cpu")

    def __init__(self, total=12, every=1, bad=()):
        self.total, self._every, self.value, self.seen, self._bad = total, every, 0.0, [], bad
        self.draws = EpochDraws(torch.Generator().manual_seed(3), lambda rng: torch.randperm(4, generator=rng).double())

    @property
    def every(self):
        return self._every

    def advance(self):
        drawn = self.draws.take(self.step % 4)[self.step % 4]
        self.value = self.value * 1.5 + float(drawn) + float(torch.rand(1, generator=self.draws.rng))
        return torch.tensor(math.nan if self.step + 1 in self._bad else self.value)

    def looked(self, losses):
        self.seen.append(len(losses))

    def failure(self, step):
        return f"bad at {step}"

    def state(self):
        return {"value": self.value, **self.draws.state()}

    def restore(self, state):
        self.value = state["value"]
        self.draws.restore(state)


def cancel_at(report):
    calls = []

    def progress(fraction, detail=""):
        calls.append((fraction, detail))
        if len(calls) == report:
            raise Cancelled

    return progress, calls


def silent(fraction, detail=""):
    pass


@pytest.mark.parametrize("stop", range(1, 13))
def test_stopped_anywhere_it_comes_to_the_same(tmp_path, stop):
    whole = Sum().run(NOT_KEPT, silent).value
    checkpoint = TrainingCheckpoint(tmp_path / "state", "key")
    with pytest.raises(Cancelled):
        Sum().run(checkpoint, cancel_at(stop)[0])
    progress, calls = cancel_at(0)
    assert Sum().run(checkpoint, progress).value == whole
    assert calls[0] == (stop / 12, f"resumed at step {stop}") and len(calls) == 1 + 12 - stop


def test_looks_come_every_so_many_steps_and_at_the_end():
    progress, calls = cancel_at(0)
    assert Sum(12, every=5).run(NOT_KEPT, progress).seen == [5, 5, 2]
    assert [fraction for fraction, _ in calls] == [5 / 12, 10 / 12, 1.0]


@pytest.mark.parametrize(("bad", "every"), [(1, 1), (7, 1), (7, 5), (12, 5)])
def test_the_first_step_without_a_finite_loss_is_named(tmp_path, bad, every):
    checkpoint = TrainingCheckpoint(tmp_path / "state", "key", seconds=0)
    with pytest.raises(ElfsError, match=f"bad at {bad}$"):
        Sum(every=every, bad=(bad, 12)).run(checkpoint, silent)
    kept = checkpoint.load("cpu")
    assert (kept["step"] if kept else 0) == (bad - 1) // every * every  # of the last look that was well


def test_a_timed_write_is_made_when_it_is_due(tmp_path):
    for seconds, written in ((0, True), (1000, False)):
        path = tmp_path / str(seconds)
        Sum(2).run(TrainingCheckpoint(path, "key", seconds=seconds), silent)
        assert path.exists() == written


def test_the_draws_of_earlier_versions_are_repeated():
    """They kept the generator as it stood before the epoch under way, and nothing else."""
    rng = torch.Generator().manual_seed(5)
    before = rng.get_state()
    draws = EpochDraws(rng, lambda rng: torch.randperm(9, generator=rng))
    drawn = draws.take(0)
    again = EpochDraws(torch.Generator(), lambda rng: torch.randperm(9, generator=rng))
    again.restore({"rng": before})
    assert torch.equal(again.take(3), drawn)


def test_the_rate_follows_a_cosine():
    config = ProxyConfig.mlp(learning_rate=0.1)
    assert cosine_rate(config, 0, 8) == pytest.approx(0.1)
    assert cosine_rate(config, 4, 8) == pytest.approx((0.1 + 1e-4) / 2)
    assert cosine_rate(config, 8, 8) == pytest.approx(1e-4)
