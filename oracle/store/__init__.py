"""The only place that speaks SQL: tables, migrations, and queries inside a transaction of the caller."""
