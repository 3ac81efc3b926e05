"""The pipeline in a thread and in a forked child of one's own program."""

from __future__ import annotations

import subprocess
import sys

START = """
import os, signal, threading, warnings
from PIL import Image
from mlx_moebius import MoebiusError, MoebiusPipeline

picture, mask = Image.effect_noise((200, 150), 20).convert("RGB"), Image.new("L", (200, 150))
mask.paste(255, (80, 60, 110, 90))

def fill(pipe):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without detail the fill is soft
        filled = pipe(picture, mask, detail=False)
    print(filled.size, flush=True)
"""

# Also a daemon thread that still runs, and a thread that is given the model.
THREADS = """
ended, pipe = threading.Event(), MoebiusPipeline.from_pretrained("nano")
def stays():
    fill(pipe)
    ended.set()
    threading.Event().wait()
threading.Thread(target=stays, daemon=True).start()
ended.wait()
for work in (lambda: fill(pipe), lambda: fill(MoebiusPipeline.from_pretrained("nano"))):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
fill(pipe)
"""

FORK = """
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # Python 3.12 and newer

def child(work):
    if (process := os.fork()) == 0:
        signal.alarm(100)
        try:
            work()
        except MoebiusError as error:
            print(error, flush=True)
        finally:
            os._exit(0)
    assert os.waitpid(process, 0)[1] == 0

child(lambda: fill(MoebiusPipeline.from_pretrained("nano")))  # nothing was computed yet
pipe = MoebiusPipeline.from_pretrained("nano")
child(lambda: fill(pipe))
child(lambda: MoebiusPipeline.from_pretrained("nano"))
"""


def run(program: str) -> list[str]:
    ended = subprocess.run([sys.executable, "-c", START + program], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_threads_of_a_program_may_fill() -> None:
    assert run(THREADS) == ["(200, 150)"] * 4


def test_a_forked_child_fills_or_says_in_one_line_why_not() -> None:
    said = run(FORK)
    assert said[0] == "(200, 150)"
    assert said[1] == said[2]
    assert "forked from one in which MLX had computed" in said[1]
    assert "spawn" in said[1]
