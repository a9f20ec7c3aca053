"""Overrides that change how a model is stored and computed."""

from __future__ import annotations

import copy
import io
import random
import sys
from types import SimpleNamespace

import torch
from changed import PACKAGE, changed
from torch import nn
from training import IMAGES, ROWS, Block, Blocks, Conv, close, losses_with, of_seed, train


def check_channels_last_keeps_parameters_and_rounds_losses() -> None:
    net, _, told = losses_with(Conv, IMAGES, "channels_last", 1e-4)
    assert told["applied"] == ["Conv and its inputs are stored channels last"] and not told["refused"]
    weight = net.body[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def check_channels_last_is_undone_where_view_fails() -> None:
    net, _, told = losses_with(lambda: Conv(view=True), IMAGES, "channels_last")
    assert not told["applied"] and "view size is not compatible" in told["refused"][0]
    assert net.body[0].weight.is_contiguous()


def check_an_attempt_that_fails_leaves_no_trace_in_buffers_and_random_numbers() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.drop, self.conv = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(self.drop(self.norm(x)))
            return x.view(len(x), -1) * random.random()

    def learn() -> tuple[list[float], int, float]:
        random.seed(1)
        net = Noisy()
        return train(net, IMAGES), int(net.norm.num_batches_tracked), random.random()

    plain = of_seed(learn)
    with changed("channels_last") as told:
        assert of_seed(learn) == plain
    assert "view size" in told["refused"][0]


def check_channels_last_is_refused_without_convolutions() -> None:
    _, _, told = losses_with(Blocks, ROWS, "channels_last")
    assert told["refused"] == ["the model has no 2-D convolution"] and not told["applied"]


def check_float32_converts_in_place_and_gives_float64_back() -> None:
    net, _, told = losses_with(lambda: Conv().double(), IMAGES.double(), "float32", 1e-4)
    assert told["applied"] == ["Conv computes in float32"]
    assert {one.dtype for one in net.parameters()} == {torch.float32}
    assert {one.dtype for one in net.buffers()} == {torch.float32, torch.int64}


def check_float32_holds_for_constants_under_a_default_of_float64() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) @ torch.ones(1, 1)

    torch.set_default_dtype(torch.float64)
    try:
        _, _, told = losses_with(lambda: Scaled(8, 1), ROWS.double(), "float32", 1e-4)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert told["applied"] == ["Scaled computes in float32"] and not told["refused"]


def check_float32_shrinks_a_state_that_was_loaded() -> None:
    net = nn.Linear(8, 1).double()
    optimizer = torch.optim.Adam(net.parameters())
    net(ROWS.double()).sum().backward()
    optimizer.step()
    with changed("float32"):
        for _ in range(2):
            net(ROWS.double()).sum().backward()
            optimizer.step()
    assert {one["exp_avg"].dtype for one in optimizer.state.values()} == {torch.float32}


def check_float32_is_undone_to_the_last_digit_where_it_fails() -> None:
    class Fixed(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) @ torch.ones(1, 1, dtype=torch.float64)

    _, _, told = losses_with(lambda: Fixed(8, 1).double(), ROWS.double(), "float32")
    assert told["refused"] and not told["applied"]


def check_float32_is_refused_for_float32() -> None:
    _, _, told = losses_with(Blocks, ROWS, "float32")
    assert told["refused"] == ["no parameter is float64"]


def check_matmul_sets_what_this_machine_can() -> None:
    _, _, told = losses_with(Blocks, ROWS, "matmul", tf32=1)
    assert told["refused"] == ["TF32 is a format of GPUs, and the model is on the CPU"]
    assert torch.get_float32_matmul_precision() == "highest"
    module = __import__(f"{PACKAGE}.overrides.matmul", fromlist=["x"])
    asked, module.lacks_bfloat16 = module.lacks_bfloat16, lambda torch, kind: ""
    try:
        with changed("matmul", precision=2) as told:
            train(Blocks(), ROWS, 1)
            assert torch.get_float32_matmul_precision() == "medium"
        assert told["applied"] == ["the precision of float32 matrix products is medium"]
    finally:
        module.lacks_bfloat16 = asked
        torch.set_float32_matmul_precision("highest")
    with changed("matmul", precision=3) as told:
        pass
    assert told["refused"]


def check_gpu_settings_are_refused_on_a_cpu() -> None:
    _, _, told = losses_with(Conv, IMAGES, "cudnn", benchmark=1)
    assert told["refused"] == ["the model is not on a GPU"] and not torch.backends.cudnn.benchmark
    if torch.version.cuda is None:
        _, _, told = losses_with(Conv, IMAGES, "non_blocking")
        assert told["refused"] == ["this torch is built for the CPU: nothing is copied"]


def check_only_copies_to_a_gpu_are_non_blocking() -> None:
    to_cuda = __import__(f"{PACKAGE}.overrides.non_blocking", fromlist=["x"]).to_cuda
    other = torch.empty(1, device="meta")
    for args, kwargs in ((("cpu",), {}), ((torch.float16,), {}), ((other,), {}), ((), {"dtype": torch.int8})):
        assert not to_cuda(args, kwargs)
    for args, kwargs in (
        (("cuda:1",), {}),
        ((0,), {}),
        ((torch.device("cuda"),), {}),
        ((), {"device": "cuda"}),
    ):
        assert to_cuda(args, kwargs)


class Pinned:
    """Stands for a tensor, as pinned memory needs a GPU."""

    def __init__(self, pinned: bool, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.pinned = pinned

    def is_pinned(self) -> bool:
        return self.pinned


def check_only_pinned_batches_of_a_loader_are_copied_without_waiting() -> None:
    module = __import__(f"{PACKAGE}.overrides.non_blocking", fromlist=["x"])
    module._to = module._cuda = lambda tensor, *args, **kwargs: kwargs
    module._is_compiling = lambda: False
    for from_loader in (True, False):
        module._acts = lambda tensor, known=from_loader: known
        forced = {"non_blocking": True} if from_loader else {}
        assert module.tensor_to(Pinned(True), "cuda") == module.tensor_cuda(Pinned(True)) == forced
        assert module.tensor_to(Pinned(True), "cpu") == module.tensor_to(Pinned(False), "cuda") == {}
        assert module.tensor_to(Pinned(True, "cuda"), "cuda:1") == module.tensor_cuda(Pinned(False)) == {}


def check_gpus_are_asked_for_what_a_precision_needs() -> None:
    lacks = __import__(f"{PACKAGE}.overrides.matmul", fromlist=["x"]).lacks
    lacks_bfloat16 = __import__(f"{PACKAGE}.overrides.autocast", fromlist=["x"]).lacks_bfloat16

    def gpu(*capability: int) -> SimpleNamespace:
        cuda = SimpleNamespace(get_device_capability=lambda: capability)
        return SimpleNamespace(version=SimpleNamespace(cuda="12.8"), cuda=cuda)

    assert lacks(gpu(8, 0), "cuda", "high") == lacks_bfloat16(gpu(9, 0), "cuda") == ""
    assert "8.0" in lacks(gpu(7, 5), "cuda", "high") and "8.0" in lacks_bfloat16(gpu(7, 5), "cuda")


def check_a_module_that_cannot_be_known_is_called_as_ever() -> None:
    class Odd(nn.Linear):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    with changed("channels_last") as told:
        assert Odd(8, 1)(ROWS).shape == (4, 1)
    assert not told.events


def check_the_wrapper_leaves_modules_that_need_none() -> None:
    plain = nn.Module._call_impl
    with changed("float32") as told:
        assert nn.Module._call_impl is not plain
        train(nn.Linear(8, 1), ROWS, 70)
        assert nn.Module._call_impl is plain and "_call_impl" not in vars(nn.Linear)
    assert told["refused"]
    with changed("channels_last"):
        train(Conv(), IMAGES, 70)
        assert (
            nn.Module._call_impl is plain
            and "_call_impl" in vars(Conv)
            and "_call_impl" not in vars(nn.Conv2d)
        )
    assert "_call_impl" not in vars(Conv) and nn.Module._call_impl is plain


def check_a_changed_model_is_saved_and_copied_as_ever() -> None:
    with changed("channels_last"):
        net = Conv()
        train(net, IMAGES, 2)
        twin = copy.deepcopy(net)
        torch.save(net, buffer := io.BytesIO())
        assert PACKAGE.encode() not in buffer.getvalue()
        buffer.seek(0)
        loaded = torch.load(buffer, weights_only=False)
    for other in (twin, loaded):
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def check_two_overrides_act_on_one_model() -> None:
    plain = of_seed(lambda: train(Conv().double(), IMAGES.double()))
    with changed("float32") as narrow, changed("channels_last") as last:
        losses = of_seed(lambda: train(Conv().double(), IMAGES.double()))
    assert narrow["applied"] and last["applied"] and close(losses, plain, 1e-4)


def check_modules_called_in_backward_or_without_parameters_are_no_roots() -> None:
    from torch.utils.checkpoint import checkpoint

    def call(block: Block, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(block, x, use_reentrant=False)

    loss = nn.MSELoss()
    with changed("channels_last"):
        outermost = sys.modules[f"{PACKAGE}.overrides.outermost"]
        net = Blocks(call)
        train(net, ROWS, 2, lambda out: loss(out, torch.zeros(4, 1)))
        met = {type(one).__name__: root.tried for one, root in outermost._calls.roots.items()}
    assert met["MSELoss"] == set() and set(met) == {"Blocks", "MSELoss"}
