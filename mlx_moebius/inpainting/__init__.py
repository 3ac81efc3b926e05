"""One photo and a mask in, the filled photo out.

Begin with `pipeline`, the whole line; `compose` goes from a photo to the network's squares and back.
May import models, networks and photos.
"""
