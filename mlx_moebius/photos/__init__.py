"""Photos and masks as files: everything a format carries, in and out. Knows nothing of networks.

Begin with `photo` (reading) and `save` (writing); `masks` is arithmetic on masks. Of the package's other modules
it imports `errors`, `files` and `memory` alone.
"""
