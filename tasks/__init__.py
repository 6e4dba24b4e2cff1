"""What can be done: thin Prefect tasks (get, run, put) over pure science, programs, files and the registry."""
