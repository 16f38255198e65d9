"""Flink: a cluster for this machine."""
