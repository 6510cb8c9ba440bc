"""What every experiment shares: configs, runs, jobs, and the files they keep."""
