"""A folder of photos: find photos and masks, fill them, maybe on several hosts, and go on where a run was stopped.

Begin with `run`, a whole run on a folder. `batch` reads and writes on threads while the network works, `ledger` records
what is done, `ranks` shares the photos, `report` shows progress, `review` makes the page. May import inpainting and
what is below it.
"""
