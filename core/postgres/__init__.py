"""How a PostgreSQL server is reached, and the embedded one."""
