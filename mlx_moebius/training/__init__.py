"""Training: fine-tuning a model on the user's photos, or a new network of the family from scratch.

Begin with `run`, a whole run; `step` is one step of it, `objective` and `optimisers` its arithmetic, `samples` where
its photos and holes come from. May import models, convert, networks and photos.
"""
