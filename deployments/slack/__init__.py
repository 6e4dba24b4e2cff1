"""The Slack app: buttons and commands of operators, over HTTP or Socket Mode."""
