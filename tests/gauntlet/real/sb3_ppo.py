"""stable-baselines3's PPO with its default batch of 64 and one environment: small operators, one after the other."""

import math
import sys
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cases"))  # clock.py
from clock import Clock, parser


class Pole(gymnasium.Env):
    """A pole on a cart that is pushed left or right."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = list(self.np_random.uniform(-0.05, 0.05, 4))
        self.steps = 0
        return np.array(self.state, np.float32), {}

    def step(self, action):
        place, speed, angle, turn = self.state
        force = (10.0 if action else -10.0) + 0.05 * turn * turn * math.sin(angle)
        bend = (9.8 * math.sin(angle) - math.cos(angle) * force / 1.1) / (
            0.5 * (4 / 3 - 0.1 * math.cos(angle) ** 2 / 1.1)
        )
        push = force / 1.1 - 0.05 * bend * math.cos(angle) / 1.1
        self.state = [place + 0.02 * speed, speed + 0.02 * push, angle + 0.02 * turn, turn + 0.02 * bend]
        self.steps += 1
        fallen = abs(self.state[0]) > 2.4 or abs(self.state[2]) > 0.2
        return np.array(self.state, np.float32), 1.0, fallen, self.steps >= 500, {}


def main():
    args = parser(__doc__, batch=64, environments=1).parse_args()
    torch.manual_seed(0)
    batch, environments = (1024, 16) if args.fixed else (args.batch, args.environments)
    clock = Clock(args)
    agent = PPO(
        "MlpPolicy",
        DummyVecEnv([Pole for _ in range(environments)]),
        n_steps=2048 // environments,  # the same number of experiences a round
        batch_size=batch,
        seed=0,
        device="cpu",
    )
    agent.policy.optimizer.register_step_post_hook(
        lambda *_: clock.lap(batch)
    )  # SB3 calls back per move, not update
    agent.learn(total_timesteps=10**9)


if __name__ == "__main__":
    main()
