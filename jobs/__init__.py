"""The runtimes that drive the stages, and the command line."""
