"""What these tests need of the machine."""

import sys

# Kernels are compiled with g++, and address space is limited, on Linux only.
collect_ignore = [] if sys.platform == "linux" else ["test_machine.py"]
