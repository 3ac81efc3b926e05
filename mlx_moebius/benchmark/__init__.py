"""Measure this machine and this version: speed, memory, exactness.

Begin with `__main__`, the command. `graph` counts the arithmetic, `check` compares blocks with float32 on the CPU,
`approximate` measures what the inexact options change, `picture` how good fills look. May import inpainting and what is
below it.
"""
