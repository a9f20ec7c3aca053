"""Group A: a script that does not train is as it would be without us: names, arguments, endings, tracebacks."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from .runs import COMMAND, Ran, alike, diagnose, environment, execute, plain, write

DUMP = """
    import atexit, os, signal, subprocess, sys, threading, warnings
    import utils, profile, report, bottleneck
    assert {m.__name__ for m in (utils, profile, report, bottleneck) if m.HERE} and profile.HERE == 1
    print(__name__, __file__, sys.argv, sys.path)
    print(__spec__ and (__spec__.name, __spec__.origin, __spec__.parent), __package__)
    print(os.getcwd(), type(__loader__).__name__)
    print(sys.modules["__main__"].__dict__ is globals(), sys.flags, sys.executable, sys.warnoptions)
    print(threading.active_count(), [signal.getsignal(s) for s in sorted(signal.valid_signals())])
    print(sys.excepthook is sys.__excepthook__, sys.gettrace(), sys.getprofile(), sys.getrecursionlimit())
    print(sorted(os.listdir("/proc/self/fd")), os.umask(0o22), os.nice(0), sys.stdin.read())
    print(len(warnings.filters), "torch" in sys.modules, os.environ.get("BOTTLENECK_DISABLE"))
    child = "import os, sys; print(sys.argv, os.getcwd(), len(sys.path), 'torch' in sys.modules)"
    print(subprocess.run([sys.executable, "-c", child, "x"], capture_output=True, text=True))
    open("written.txt", "w").write("by the script")
    atexit.register(print, "at exit")
    sys.stderr.write("on stderr\\n")
"""
# Names that our own package and the standard library have too: the script's are the ones it gets.
BESIDE = dict.fromkeys(("utils.py", "profile.py", "report.py", "bottleneck.py", "hooks.py"), "HERE = 1")
FORMS = {
    "script": (["train.py"], ""),
    "folder": (["src/train.py", "--lr", "1"], "src/"),
    "module": (["-m", "pkg.train", "--steps", "5", "-h"], "pkg/"),
    "main": (["pkg", "-o", "x"], "pkg/"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a1_a5_a6_a16_a17_a_script_finds_itself_as_under_plain_python(tmp_path: Path, form: str) -> None:
    argv, folder = FORMS[form]
    files = {folder + name: text for name, text in BESIDE.items()}
    if form == "module":  # its neighbours are found in the current folder, not in the package
        files = dict(BESIDE)
    files |= {f"{folder}train.py": DUMP, f"{folder}__main__.py": DUMP, "pkg/__init__.py": ""}
    if form == "module":
        work = write(tmp_path, files)
        expected = plain(argv, work)
        # Ours runs with the module's folder as current one but must not import the script's neighbours itself.
        found = diagnose(argv, work, command=_installed_command())
        assert (found.code, found.out, found.err) == (expected.code, expected.out, expected.err)
        return
    alike(tmp_path, files, argv, command=_installed_command())


def _installed_command() -> tuple[str, ...]:
    """Return the command as the console script runs it: without the current folder on its path."""
    text = "import sys; del sys.path[0]; from trainbottleneck.cli import main; main()"
    return (sys.executable, "-c", text)


def test_a1_what_the_shell_hands_on_reaches_the_script(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": "import sys; print(open(sys.argv[1]).read(), open(4).read())"})
    shell = '"$@" train.py <(echo configuration) 4< train.py'
    expected = execute(["bash", "-c", shell, "-", sys.executable], work)
    found = execute(["bash", "-c", shell, "-", *COMMAND, "diagnose", "--quiet", "-o", "../r"], work)
    assert (found.code, found.out, found.err) == (0, expected.out, "")


def test_a6_every_flag_behind_the_script_is_the_scripts(tmp_path: Path) -> None:
    flags = ["--steps", "5", "-h", "--help", "-o", "x", "--version", "--", "-q", "--full", "-m", ""]
    alike(tmp_path, {"train.py": "import sys; print(sys.argv)"}, ["train.py", *flags])


ENDINGS = {
    "A2-exit": "import sys; sys.exit(3)",
    "A2-message": "import sys; sys.exit('a message')",
    "A2-os-exit": "import os; print('lost', end=''); os._exit(7)",
    "A2-none": "raise SystemExit",
    "A3-kill": "import os; os.kill(os.getpid(), 9)",
    "A3-segv": "import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)",
    "A3-term": "import os; os.kill(os.getpid(), 15)",
    "B3-abort": "import os; os.abort()",
    "C6-hup": "import os; os.kill(os.getpid(), 1)",
    "C6-quit": "import os; os.kill(os.getpid(), 3)",
    "C6-xcpu": "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)",
    "A4-os": "def read():\n    open('/no/such/file')\nread()",
    "A4-interrupt": "def f():\n    raise KeyboardInterrupt\nf()",
    "A4-chain": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e",
    "A4-group": "class E(BaseException): pass\nraise E('bare')",
    "A4-syntax": "print('x'\nfor",
    "A8-spawn": "import multiprocessing as m\nif __name__ == '__main__':\n    m.set_start_method('spawn')\n"
    "    p = m.Process(target=print, args=('child',)); p.start(); p.join(); print(p.exitcode)",
    "A12-hook": "import sys\nsys.excepthook = lambda *a: print('hooked', a[:2])\nraise ValueError('x')",
    "B5-exec": "import os, sys\nif len(sys.argv) < 2:\n    os.execv(sys.executable, [sys.executable, *sys.argv, '2'])\n"
    "print(sys.argv); sys.exit(5)",
    "F1-torch-broken": "import sys, broken.torch_like\nsys.path.insert(0, 'broken')\nimport torch",
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[Ran]]:
    """Return what became of every ending: the run, or the difference from plain Python; two at a time."""
    broken = {
        "broken/torch/__init__.py": "def load():\n    raise OSError('libcudnn.so: not found')\nload()",
        "broken/torch_like.py": "",
    }
    folders = {name: tmp_path_factory.mktemp("ending") for name in ENDINGS}
    with ThreadPoolExecutor(2) as pool:
        return {
            name: pool.submit(
                alike, folders[name], {**broken, "train.py": text}, ["train.py"], clean=_without_addresses
            )
            for name, text in ENDINGS.items()
        }


@pytest.mark.parametrize("ending", ENDINGS)
def test_a2_a3_a4_every_ending_is_plain_pythons(endings: dict[str, Future[Ran]], ending: str) -> None:
    assert endings[ending].result().run is not None


def _without_addresses(text: str) -> str:
    """Drop faulthandler's thread id."""
    return "\n".join(line for line in text.splitlines() if "hread 0x" not in line)


def test_a12_interpreter_switches_in_the_environment_are_honoured_without_a_word_of_ours(
    tmp_path: Path,
) -> None:
    script = (
        "import sys, warnings\nassert not __debug__\n"
        "print(sys.flags, sys.warnoptions, sys.path[0])\nwarnings.warn('x')"
    )
    env = {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1", "PYTHONOPTIMIZE": "1", "PYTHONSAFEPATH": "1"}
    found = alike(tmp_path, {"train.py": script}, ["train.py"], env, clean=_without_addresses)
    assert found.code == 1 and (found.run / "report.json").exists()  # type: ignore[operator]


def test_a15_the_users_own_start_up_files_run_once(tmp_path: Path) -> None:
    work = write(
        tmp_path,
        {
            "site/sitecustomize.py": "import sys\nif 'own-venv' in sys.prefix: print('site', __name__, __file__)",
            "site/usercustomize.py": "import sys\nif 'own-venv' in sys.prefix: print('user')",
            "train.py": "import sys; print('train', 'sitecustomize' in sys.modules, sys.path)",
        },
    )
    home = tmp_path / "own-venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", home],
        check=True,
        timeout=100,
    )
    packages = next(home.glob("lib/python*/site-packages"))
    # The environment sees everything this one has, torch included, and says when it starts.
    (packages / "all.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p) + "\n")
    (packages / "own.pth").write_text("import sys; print('own.pth')\n")
    python, env = str(home / "bin" / "python"), {"PYTHONPATH": str(work / "site")}
    expected = execute([python, "train.py"], work, env)
    found = diagnose(["train.py"], work, env, ("--full", "--quiet", "--python", python))
    assert (found.code, found.out, found.err) == (0, expected.out, expected.err)
    assert found.out.count(b"user\n") == found.out.count(b"site sitecustomize") == 1


def test_a15_an_error_in_the_users_sitecustomize_reads_as_without_us(tmp_path: Path) -> None:
    files = {"site/sitecustomize.py": "raise RuntimeError('mine')", "train.py": "print('still runs')"}
    work = write(tmp_path, files)
    env = {"PYTHONPATH": str(work / "site")}
    expected, found = plain(["train.py"], work, env), diagnose(["train.py"], work, env)
    assert (found.code, found.out) == (expected.code, expected.out)
    assert "RuntimeError: mine" in found.err


LONG = "import sys\nfor i in range(50000):\n    print('line', i)\nsys.stdout.flush()"


def test_a18_a_closed_pipe_ends_the_script_as_without_us(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": LONG})
    ended = {}
    for name, command in (
        ("plain", [sys.executable]),
        ("ours", [*COMMAND, "diagnose", "--full", "-o", "../r"]),
    ):
        shell = '"$@" | head -1; echo ${PIPESTATUS[0]}'
        ended[name] = execute(["bash", "-c", shell, "-", *command, "train.py"], work)
    assert ended["ours"].out == ended["plain"].out
    assert ended["ours"].their_err.count("Traceback") == ended["plain"].err.count("Traceback")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_a18_closed_streams_cost_nothing(tmp_path: Path, closed: str) -> None:
    script = (
        "import os, sys\nfd = os.open('own', os.O_CREAT | os.O_WRONLY)\n"
        "os.write(fd, b'mine')\nprint('x')\nsys.exit(4)"
    )
    work = write(tmp_path, {"train.py": script})
    shell = f'"$@" {closed}; echo $? > code'
    argv = [*COMMAND, "diagnose", "--full", "-o", "../r", "train.py"]
    done = subprocess.run(
        ["bash", "-c", shell, "-", *argv], cwd=work, env=environment(), timeout=100, check=False
    )
    assert done.returncode == 0
    assert (work / "code").read_text().strip() == "4"
    assert (work / "own").read_bytes() == b"mine"
    assert (tmp_path / "r" / "report.html").exists()


def test_a18_a_poor_terminal_and_an_ascii_locale_are_enough(tmp_path: Path) -> None:
    env = {
        "LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "dumb",
        "COLUMNS": "20", "NO_COLOR": "1", "PYTHONIOENCODING": None, "HOME": None,
    }  # fmt: skip
    work = write(tmp_path, {"train.py": "print('plain text')"})
    found = diagnose(["train.py"], work, env, ("--full",))
    assert (found.code, found.out, found.their_err.count("Traceback")) == (0, b"plain text\n", 0)
    assert found.err.isascii() and "never imported torch" in found.err
