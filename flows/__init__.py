"""What happens, in order: Prefect flows that read as the recipe."""
