"""Measuring this machine and this version: speed, memory, exactness. Nothing imports it.

Begin with `__main__`, the command; `graph` counts the arithmetic, `check` compares blocks with float32 on the CPU,
`approximate` tells what the inexact options change. May import everything but the faces.
"""
