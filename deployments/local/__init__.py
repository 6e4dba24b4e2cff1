"""One command on one machine: a night, a plan, a replay or the demonstration, without a deployment."""
