"""External programs, one module each: ``Options → command() → run() → Result``. Only ``run`` starts a process."""
