from vaedis import RunSpec, fit  # noqa: F401
