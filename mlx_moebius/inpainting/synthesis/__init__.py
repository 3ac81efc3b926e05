"""Detail for a fill, grown from the photo round it: arrays in, arrays out, no network, no files.

Begin with `grow`, which puts the steps together. `grids` reduces a scene to coarse grids; `search` finds the nearest
patches; `patch_voting` makes a first estimate; `offsets`, `assembly` with `labelling`, `refine` and `membrane` put
pieces of the photo together, `lattice` at the distances of regular textures; `thin` does so in thin holes; `transfer`
finds detail for a fill that is good already; `render` makes pixels; `trust` tells how good a fill is.

What needs no network, `plain.py` and `flat.py` beside this package, is made of `surface`, `lines`, `grain`, `borders`
and `regions`.
"""
