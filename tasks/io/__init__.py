"""Files, catalogues, notices, pages and remote services, to records and arrays and back."""
