"""The functions of the expression language, one idea a file."""
