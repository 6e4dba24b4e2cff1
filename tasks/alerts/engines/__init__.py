"""What the tasks on alerts share: notices made durable, and later looks at an event."""
