"""The SQL database: engine, transactions, locks, leases, column types, migrations."""
