"""The examples in the docstrings of the language hold."""

import doctest
import importlib
import pkgutil

import pytest

import operators.expressions

MODULES = [found.name for found in pkgutil.walk_packages(operators.expressions.__path__, "operators.expressions.")]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
