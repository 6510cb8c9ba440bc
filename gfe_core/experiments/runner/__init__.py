"""The parts that experiments share: configs, runs, jobs, and the files they keep."""
