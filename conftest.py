"""What holds for every pytest here, plain `pytest --nbval notebooks/` too."""

pytest_plugins = ("nbval_timeouts",)
