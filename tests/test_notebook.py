"""The notebook runs from top to bottom, without a display."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "inpaint.ipynb"


@pytest.mark.slow
def test_notebook_runs_and_shows_what_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))  # the kernel starts in examples/
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 7  # photo, mask, before and after, seeds, batch, steps, latents
    assert any('src="http://127.0.0.1:' in str(output.get("data", {}).get("text/html")) for output in outputs)
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "step 3 of 3" in printed
