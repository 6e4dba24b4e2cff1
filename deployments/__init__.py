"""Where brightsiren runs: command line, listener, bootstrap, clusters. Nobody imports this package."""
