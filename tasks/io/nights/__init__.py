"""Tables, journals and logs of a night, as files."""
