"""``python -m trainbottleneck``, or ``python -m bottleneck`` from a checkout."""

from .cli import main

if __name__ == "__main__":
    main()
