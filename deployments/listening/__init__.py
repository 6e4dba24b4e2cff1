"""The Kafka listener: from a broker's message to a durable notice and a flow run."""
