"""Real input for the examples, cut once into ``examples/data/``. Nothing is downloaded.

Photographs come from scikit-learn and from the files that ship inside scikit-image, digits from scikit-learn,
text from Python itself (``pydoc_data.topics`` and the standard library's sources). The same packages give the
same files; an interrupted cut goes on where it stopped. Every example's ``common.py`` puts this folder on
``sys.path`` and imports the module as ``data``.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

ROOT = Path(__file__).resolve().parent / "data"
SIDE = 256  # pixels of a crop's edge: the smallest photograph, chelsea.png, is 300 high
CROPS = 60  # per photograph: 13 classes give 780 files, 15 MB
# Classes of the photograph folders. Each of these files lies in the scikit-image wheel (0.22 to 0.26).
SKIMAGE_FILES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
    "rocket.jpg",
)
SKLEARN_FILES = ("china.jpg", "flower.jpg")
MODULES = {"sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "Pillow", "numpy": "NumPy"}


def _require(*modules: str) -> None:
    """End the script with one line when a package that holds or reads the input is missing."""
    missing = [MODULES[name] for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"This example needs {', '.join(missing)}: pip install 'trainbottleneck[examples]'")


def _write(path: Path, save: Callable[[Path], object]) -> None:
    """Write one file so that it is either complete or absent, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    save(partial)
    partial.replace(path)


def _cut(files: Iterator[tuple[Path, Callable[[Path], object]]], total: int, what: str) -> None:
    """Write the files that are not there yet, with one progress line on stderr."""
    for number, (path, save) in enumerate(files, start=1):
        if not path.exists():
            _write(path, save)
        if number == total or (number % 20 == 0 and sys.stderr.isatty()):
            print(f"\rCutting {what}: {number} of {total}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _once(
    folder: Path, files: Iterator[tuple[Path, Callable[[Path], object]]], total: int, what: str
) -> Path:
    """Return ``folder`` after its files have been written; the marker says that all of them are there."""
    marker = folder / ".complete"
    if not marker.exists():
        _cut(files, total, what)
        _write(marker, lambda path: path.write_text(f"{total}\n"))
    return folder


def sources() -> list[Path]:
    """Return the photographs' files, in the order of their class names.

    Ends the script with one line when scikit-learn or scikit-image, or one of their files, is missing.
    """
    _require("sklearn", "skimage", "PIL", "numpy")
    found = []
    for module, inside, names in (
        ("skimage", "data", SKIMAGE_FILES),
        ("sklearn", "datasets/images", SKLEARN_FILES),
    ):
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None  # _require has seen it
        found += [Path(spec.origin).parent / inside / name for name in names]
    absent = [path.name for path in found if not path.exists()]
    if absent:
        sys.exit(
            f"{', '.join(absent)}: not in the installed packages; pip install 'trainbottleneck[examples]'"
        )
    return sorted(found, key=lambda path: path.stem)


def _crops(photograph: Path, root: Path, count: int) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """Yield the place of every crop of one photograph and what writes it there."""
    from PIL import Image

    with Image.open(photograph) as file:
        image = file.convert("RGB")
    for number in range(count):
        choose = random.Random(f"{photograph.stem} {number}")
        left, top = choose.randint(0, image.width - SIDE), choose.randint(0, image.height - SIDE)
        crop = image.crop((left, top, left + SIDE, top + SIDE))
        yield root / photograph.stem / f"{number:03d}.jpg", _jpeg(crop)


def _jpeg(image: Image.Image) -> Callable[[Path], object]:
    return lambda path: image.save(path, "JPEG", quality=90)


def photographs(root: Path = ROOT, count: int = CROPS, names: tuple[str, ...] | None = None) -> Path:
    """Return a folder of real JPEG files, ``<class>/<number>.jpg``, ``count`` crops of every photograph.

    Crops are ``SIDE`` by ``SIDE`` pixels, RGB. ``names`` limits the photographs (stems), for a small cut.
    """
    folder = root / "photographs"
    if (folder / ".complete").exists():
        return folder
    chosen = [path for path in sources() if names is None or path.stem in names]
    files = (file for path in chosen for file in _crops(path, folder, count))
    return _once(folder, files, len(chosen) * count, "photographs")


def patches(root: Path = ROOT) -> tuple[np.ndarray, np.ndarray]:
    """Return the crops' quarters, reduced: uint8 (3120, 32, 32, 3), and their classes: int64 (3120,)."""
    _require("numpy", "PIL")
    import numpy as np

    place = root / "patches.npz"
    if not place.exists():
        pixels, labels = _quarters(photographs(root))
        _write(place, lambda path: _save_arrays(path, pixels=pixels, labels=labels))
    with np.load(place) as saved:
        return saved["pixels"], saved["labels"]


def _save_arrays(path: Path, **arrays: np.ndarray) -> None:
    import numpy as np

    with path.open("wb") as file:  # a file, because savez would add .npz to a name
        np.savez(file, allow_pickle=False, **arrays)


def _quarters(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np
    from PIL import Image

    pixels, labels = [], []
    for label, place in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(place.glob("*.jpg")):
            small = np.asarray(Image.open(path).resize((64, 64)))
            pixels += [small[top : top + 32, left : left + 32] for top in (0, 32) for left in (0, 32)]
            labels += [label] * 4
    return np.stack(pixels), np.array(labels, dtype=np.int64)


def digits(root: Path = ROOT) -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's handwritten digits: float32 (1797, 8, 8) in 0-1, and classes: int64 (1797,)."""
    _require("numpy", "sklearn")
    import numpy as np

    place = root / "digits.npz"
    if not place.exists():
        from sklearn.datasets import load_digits

        loaded = load_digits()
        images = (loaded.images / 16).astype(np.float32)  # 16 is the brightest value in this data set
        labels = loaded.target.astype(np.int64)
        _write(place, lambda path: _save_arrays(path, images=images, labels=labels))
    with np.load(place) as saved:
        return saved["images"], saved["labels"]


def digit_files(root: Path = ROOT) -> Path:
    """Return a folder of the 1,797 digits as PNG files, ``<class>/<number>.png``, 8 by 8 pixels, grey."""
    _require("PIL")
    from PIL import Image

    images, labels = digits(root)
    folder = root / "digits"

    def files() -> Iterator[tuple[Path, Callable[[Path], object]]]:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            grey = Image.fromarray((image * 255).astype("uint8"))
            yield folder / str(label) / f"{number:04d}.png", _png(grey)

    return _once(folder, files(), len(labels), "digits")


def _png(image: Image.Image) -> Callable[[Path], object]:
    return lambda path: image.save(path, "PNG")


def topics() -> str:
    """Return Python's own language reference as one text, about 465,000 characters."""
    from pydoc_data.topics import topics as found

    return "\n\n".join(found[name] for name in sorted(found))


def library(limit: int | None = None) -> list[str]:
    """Return the sources of the standard library's top-level modules, sorted by name, at most ``limit``."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:limit]
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]
