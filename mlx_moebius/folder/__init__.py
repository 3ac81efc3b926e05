"""Many photos: find them and their masks, fill them on all cores and hosts, keep a record, go on after any end.

Begin with `run`, a folder from start to end; `batch` is the line of threads round the network, `ledger` the record.
May import inpainting and what is below it.
"""
