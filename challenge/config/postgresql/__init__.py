"""The database engine: Django's for PostgreSQL, with a pool that recovers at the first failure."""
