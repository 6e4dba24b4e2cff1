"""Entry points of brightsiren: command line, listener, server, Slack app, clusters. No other package imports this one."""
