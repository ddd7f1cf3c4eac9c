"""The Document page: what is stored as one document, and one that is compared with it and applied."""
