"""One photo and a mask in, the filled photo out.

Begin with `pipeline`, which runs every step; `compose` cuts a photo into crops and blends their fills back.
May import models, networks and photos.
"""
