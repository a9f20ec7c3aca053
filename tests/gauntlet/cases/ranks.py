"""What the trainings on several ranks share: joining the group under torchrun, and leaving it."""

import contextlib
import os

import torch.distributed as dist


@contextlib.contextmanager
def group(args):
    """Join the group of ranks for a ``with`` block and give this rank's number; only rank 0 keeps ``--timing``.

    torchrun sets the environment; started by itself the training has one rank.
    """
    for name, alone in (
        ("RANK", "0"),
        ("WORLD_SIZE", "1"),
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", "0"),
    ):
        os.environ.setdefault(name, alone)
    dist.init_process_group("gloo")
    if dist.get_rank() > 0:
        args.timing = None
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()
