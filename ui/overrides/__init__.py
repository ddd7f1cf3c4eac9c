"""The editor of what an organisation or a feature overrides, which two pages have."""
