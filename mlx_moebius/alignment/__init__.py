"""What a hole hides, taken from other shots of the same scene: aligned, matched in tone, and checked before it is used.

Begin with `take.take_from`, which puts other shots' pixels into a photo. `shot` reads them, `features` finds how two
shots lie over each other, `refine` makes that exact round a hole, `tone` matches colours, `judge` says where a shot can
be believed, `blend` joins what is taken, `neighbours` finds shots in a folder. Needs OpenCV (the extra `shots`). May
import `photos` and what is below it; knows nothing of networks.
"""
