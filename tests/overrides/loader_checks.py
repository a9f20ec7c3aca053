"""Checks of the loader override, run by ``child``: every ``check_*`` is one test."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from pathlib import Path
from typing import Any

import torch
from changed import changed
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info
from torch.utils.data._utils.collate import collate_tensor_fn


class Squares(Dataset):  # type: ignore[type-arg]
    """Samples (x, x squared)."""

    scale = 1.0

    def __init__(self, count: int = 24) -> None:
        self.values = torch.arange(count, dtype=torch.float32) / count

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return self.values[index : index + 1] * self.scale, self.values[index : index + 1] ** 2


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Numbers, all of them in every worker."""

    def __iter__(self) -> Any:
        yield from map(float, range(8))


class Sharded(Stream):
    """Numbers, each in one worker; a method finds out which."""

    def __iter__(self) -> Any:
        first, step = self._shard()
        yield from map(float, range(first, 8, step))

    def _shard(self) -> tuple[int, int]:
        info = get_worker_info()
        return (0, 1) if info is None else (info.id, info.num_workers)


def init_worker(_: int) -> None:
    """Make a worker's copy of a stream its part of it."""
    assert get_worker_info() is not None


def train(loader: Any, epochs: int = 3) -> list[float]:
    """Return the losses of a small training that draws random numbers of its own."""
    model = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def seeded(make: Any, epochs: int = 3) -> list[float]:
    """Return the losses of a training from a fixed seed on."""
    torch.manual_seed(3)
    return train(make(), epochs)


def shuffled(**arguments: Any) -> Any:
    """Return a loader in random order."""
    return DataLoader(Squares(), batch_size=8, shuffle=True, **arguments)


def check_workers_are_added_and_every_loss_stays_the_same() -> None:
    plain = seeded(shuffled)
    state = torch.get_rng_state()
    with changed("loader", num_workers=2, prefetch_factor=3, persistent_workers=1) as told:
        loader = shuffled()
        torch.manual_seed(3)
        assert train(loader) == plain
        assert loader._iterator._num_workers == 2 and loader.prefetch_factor == 3
    assert torch.equal(torch.get_rng_state(), state)
    assert told["applied"] == [
        "num_workers 0 -> 2, prefetch_factor None -> 3, persistent_workers False -> True"
    ]
    line = shuffled.__code__.co_firstlineno + 2
    assert told.lines == [("loader_checks.py", line)] and not told["refused"]


def check_workers_of_the_script_are_replaced_and_what_it_chose_beside_stays() -> None:
    with changed("loader", num_workers=1) as told:
        loader = shuffled(num_workers=2, prefetch_factor=5)
        iterator = iter(loader)
        assert iterator._num_workers == 1 and loader.prefetch_factor == 5
        assert loader.persistent_workers is False
    assert told["applied"] == ["num_workers 2 -> 1"]


def check_a_loader_that_is_as_wanted_is_not_told_of() -> None:
    with changed("loader", num_workers=0, persistent_workers=0) as told:
        seeded(shuffled, 1)
    assert told.events == []


def check_a_loader_that_evaluates_stays() -> None:
    with changed("loader", num_workers=2) as told:
        loader = shuffled()
        with torch.no_grad():
            assert len(list(loader)) == 3
        assert loader.num_workers == 0 and told.events == []
        next(iter(loader))
        assert loader.num_workers == 2


def check_a_stream_without_sharding_is_refused() -> None:
    with changed("loader", num_workers=2) as told:
        assert torch.cat(list(DataLoader(Stream(), batch_size=4))).tolist() == list(range(8))
        assert torch.cat(list(DataLoader(Stream(), 4, num_workers=1))).tolist() == list(range(8))
    assert told["applied"] == [] and len(told["refused"]) == 2
    assert "each worker would deliver all of it" in told["refused"][0]
    assert told.lines[0][0] == "loader_checks.py"


def check_what_torch_does_with_its_workers_makes_no_stream_sharded() -> None:
    class Collated(Stream):
        def __iter__(self) -> Any:
            for value in super().__iter__():
                yield collate_tensor_fn([torch.tensor(value)])[0]

    with changed("loader", num_workers=2) as told:
        assert torch.cat(list(DataLoader(Collated(), batch_size=4))).tolist() == list(range(8))
    assert "each worker would deliver all of it" in told["refused"][0]


def check_one_worker_reads_a_stream_as_none_does() -> None:
    with changed("loader", num_workers=1) as told:
        assert torch.cat(list(DataLoader(Stream(), batch_size=4))).tolist() == list(range(8))
    assert told["applied"] == ["num_workers 0 -> 1"]


def check_a_stream_that_asks_for_its_worker_gets_more() -> None:
    with changed("loader", num_workers=2) as told:
        assert sorted(torch.cat(list(DataLoader(Sharded(), batch_size=4))).tolist()) == list(range(8))
        assert DataLoader(Stream(), worker_init_fn=init_worker).__iter__()._num_workers == 2
    assert len(told["applied"]) == 2 and not told["refused"]


def check_what_needs_workers_is_refused_without_them() -> None:
    with changed("loader", persistent_workers=1, prefetch_factor=4, in_order=0) as told:
        seeded(shuffled, 1)
    assert told["applied"] == []
    assert [text.split()[0] for text in told["refused"]] == [
        "prefetch_factor",
        "persistent_workers",
        "in_order",
    ]
    with changed("loader", num_workers=0) as told:
        loader = shuffled(num_workers=1, timeout=30)
        next(iter(loader))
    assert loader.num_workers == 1 and told["refused"] == ["timeout and worker_init_fn need workers"]


def check_a_loader_without_workers_can_be_made_anew() -> None:
    with changed("loader", num_workers=0) as told:
        loader = shuffled(num_workers=1, persistent_workers=True)
        assert len(list(loader)) == 3
        assert (loader.num_workers, loader.prefetch_factor, loader.persistent_workers) == (0, None, False)
    assert told["applied"] == ["num_workers 1 -> 0"]


def check_pinning_without_an_accelerator_is_refused() -> None:
    if torch.cuda.is_available():
        return
    with changed("loader", pin_memory=1) as told:
        loader = shuffled()
        next(iter(loader))
    assert not loader.pin_memory and told["refused"] == ["pin_memory needs an accelerator, and there is none"]


def check_batches_out_of_order_are_allowed_where_there_are_several_workers() -> None:
    with changed("loader", in_order=0) as told:
        loader = shuffled(num_workers=2)
        assert sum(len(x) for x, _ in loader) == 24
    if hasattr(loader, "in_order"):
        assert told["applied"] == ["in_order True -> False"] and not loader.in_order
    else:
        assert told["refused"] == ["this torch has no in_order"]


def check_workers_do_not_stay_where_the_data_set_has_epochs() -> None:
    class Epochs(Squares):
        def set_epoch(self, epoch: int) -> None:
            self.scale = epoch

    with changed("loader", persistent_workers=1) as told:
        list(DataLoader(Epochs(), num_workers=1))
    assert told["applied"] == [] and "set_epoch()" in told["refused"][0]


def check_workers_that_stay_go_once_the_script_changes_the_data_set() -> None:
    with changed("loader", num_workers=1, persistent_workers=1) as told:
        dataset = Squares(8)
        loader = DataLoader(dataset, batch_size=8)
        before = next(iter(loader))[0]
        workers = loader._iterator._workers
        dataset.scale = 2.0
        after = next(iter(loader))[0]
        list(loader)
    assert torch.equal(after, 2 * before) and loader._iterator is None
    assert not any(worker.is_alive() for worker in workers)
    assert "scale of the data set changed" in told["refused"][0] and len(told["refused"]) == 1


def check_two_passes_at_a_time_see_all_batches() -> None:
    with changed("loader", num_workers=1, persistent_workers=1) as told:
        loader = DataLoader(Squares(8), batch_size=2)
        pairs = list(zip(loader, loader, strict=True))
        assert len(list(loader)) == 4
    assert len(pairs) == 4 and all(torch.equal(a[0], b[0]) for a, b in pairs)
    assert told["refused"] == ["the script runs two passes over the loader at a time"]


def check_a_pass_that_was_left_and_forgotten_is_no_second_one() -> None:
    with changed("loader", num_workers=1, persistent_workers=1) as told:
        loader = DataLoader(Squares(8), batch_size=1)
        for _ in range(3):
            for _batch in loader:
                break
        iterator = iter(loader)
        assert len(list(iterator)) == 8
        assert len(list(iter(loader))) == 8 and loader._iterator is iterator
    assert told["refused"] == []


def check_what_can_not_be_pickled_is_read_as_before_where_workers_are_spawned() -> None:
    def make() -> Any:
        dataset = Squares()
        dataset.lock = threading.Lock()  # type: ignore[attr-defined]
        return DataLoader(dataset, batch_size=8, shuffle=True)

    plain = seeded(make)
    method = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        with changed("loader", num_workers=2, persistent_workers=1) as told:
            assert seeded(make) == plain
    finally:
        multiprocessing.set_start_method(method, force=True)
    assert len(told["refused"]) == 1 and "workers can't be started: TypeError" in told["refused"][0]


def check_a_script_without_a_guard_gets_no_spawned_workers() -> None:
    method, main_module = multiprocessing.get_start_method(), sys.modules["__main__"]
    file, main_module.__file__ = main_module.__file__, str(Path(__file__).with_name("__init__.py"))
    multiprocessing.set_start_method("spawn", force=True)
    try:
        with changed("loader", num_workers=1) as told:
            assert len(list(shuffled())) == 3
    finally:
        main_module.__file__ = file
        multiprocessing.set_start_method(method, force=True)
    assert "workers would run the script again" in told["refused"][0] and not told["applied"]


def check_tensors_on_a_device_are_not_given_to_workers() -> None:
    dataset = Squares()
    dataset.tables = [torch.zeros(2, device="meta")]  # type: ignore[attr-defined]
    with changed("loader", num_workers=1) as told:
        assert len(list(DataLoader(dataset, batch_size=8))) == 3
    assert "tensors on the device" in told["refused"][0]


def check_a_data_set_that_draws_from_a_generator_of_its_own_gets_no_workers() -> None:
    class Drawing(Squares):
        def __init__(self) -> None:
            super().__init__()
            self.generator = torch.Generator()
            self.values = torch.rand(24, generator=self.generator)

    class Noisy(Drawing):
        def __getitem__(self, index: int) -> Any:
            return self._noise(), super().__getitem__(index)

        def _noise(self) -> Any:
            return torch.rand(1, generator=self.generator)

    with changed("loader", num_workers=1) as told:
        wrapped = torch.utils.data.Subset(Noisy(), range(16))
        assert len(list(DataLoader(wrapped, batch_size=8))) == 2
        assert "random generator" in told["refused"][0] and not told["applied"]
        list(DataLoader(Drawing(), batch_size=8))
        list(DataLoader(wrapped, batch_size=8, worker_init_fn=init_worker))
    assert len(told["refused"]) == 1 and len(told["applied"]) == 2


def check_a_loader_made_anew_by_a_library_bears_the_line_of_the_script() -> None:
    scope: dict[str, Any] = {}
    code = "def prepare(loader):\n    return type(loader)(loader.dataset, loader.batch_size)\n"
    exec(compile(code, "/opt/lib/site-packages/preparing.py", "exec"), scope)

    class Own(DataLoader):  # type: ignore[type-arg]
        pass

    with changed("loader", num_workers=1) as told:
        loader = Own(Squares(), 8)
        line = sys._getframe().f_lineno - 1
        again = scope["prepare"](loader)
        del loader
        assert len(list(again)) == 3 and again.num_workers == 1
    assert told.lines == [("loader_checks.py", line)]


def check_a_failure_of_the_override_leaves_the_loader_alone() -> None:
    class Hostile(Squares):
        @property
        def set_epoch(self) -> None:
            raise RuntimeError("not yet")

    with changed("loader", persistent_workers=1) as told:
        assert len(list(DataLoader(Hostile(), batch_size=8, num_workers=1))) == 3
    assert told["refused"] == ["failed: RuntimeError: not yet"] and told["applied"] == []
