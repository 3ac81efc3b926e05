"""Tests of what is taken from other shots."""
