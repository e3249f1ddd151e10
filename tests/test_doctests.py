"""The examples in the docstrings of both packages run, and print what they say."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import vaedis
import vaedis_companion

MODULES = sorted(
    module.name
    for package in (vaedis, vaedis_companion)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", ["vaedis", *(f"vaedis.{name}" for name in vaedis._MODULES)])
def test_public_functions_have_an_example(name):
    module = importlib.import_module(name)
    public = [getattr(module, member) for member in getattr(module, "__all__", ())]
    functions = [member for member in public if inspect.isfunction(member)]
    assert [member for member in functions if ">>>" not in (member.__doc__ or "")] == []
